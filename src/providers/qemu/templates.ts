import { readdir, readFile, rename, rm, stat, utimes } from 'node:fs/promises';
import path from 'node:path';

import { fileError, systemCode, toVmRunnerError, VmRunnerError } from '../../core/errors.js';
import type { Finding } from '../../core/finding.js';
import type { CollectOptions, Garbage } from '../../core/garbage.js';
import type { ProcessTable } from '../../core/process-identity.js';
import { bytesBelow } from '../../store/disk-use.js';
import { acquireLock, type Lock, type LockOptions } from '../../store/lock.js';
import type { Store } from '../../store/store.js';
import { discardTemporary, makeTemporaryDirectory } from '../../store/temporary.js';
import { writeWhole } from '../../store/whole-file.js';
import type { TemplateInfo, TemplateRules, Templates } from '../provider.js';
import {
  checkTemplate,
  readTemplate,
  templatePaths,
  type TemplateDescription,
  type TemplatePaths,
} from './template-files.js';

/** A template that VMs can be cloned from. */
export interface Template {
  readonly paths: TemplatePaths;
  readonly description: TemplateDescription;
}

/** The templates in the store, a directory each, which appears whole and is never changed but for the mark of its use. */
export class TemplateStore implements Templates {
  readonly #store: Store;
  readonly #processes: ProcessTable;

  constructor({ store, processes }: { readonly store: Store; readonly processes: ProcessTable }) {
    this.#store = store;
    this.#processes = processes;
  }

  /** @throws store-damaged when it is there and cannot be used; it is taken away then. */
  async find(key: string): Promise<Template | undefined> {
    const paths = this.#paths(key);
    try {
      const description = await readTemplate(paths);
      if (description === undefined) return undefined;
      await checkTemplate(paths, description);
      return { paths, description };
    } catch (error) {
      if (error instanceof VmRunnerError && error.code === 'store-damaged') await this.remove(key);
      throw error;
    }
  }

  /** As {@link find}, without a look at its files: for one whose QEMU has them open already. */
  async recall(key: string): Promise<Template | undefined> {
    const paths = this.#paths(key);
    const description = await readTemplate(paths);
    return description === undefined ? undefined : { paths, description };
  }

  /** One at a time makes the template of a key. */
  async lock(key: string, options: Omit<LockOptions, 'processes'>): Promise<Lock> {
    return acquireLock(path.join(this.#store.paths.locks, `template.${key}`), {
      processes: this.#processes,
      ...options,
    });
  }

  /** Where a template is made before it is added. */
  async temporary(): Promise<TemplatePaths> {
    return templatePaths(await makeTemporaryDirectory(this.#store.paths, this.#processes));
  }

  /** Makes a finished template one of the store's; for the holder of its lock. */
  async add(made: TemplatePaths, description: TemplateDescription): Promise<Template> {
    const paths = this.#paths(description.key);
    const { directory } = paths;
    try {
      // What is there without a description is no template.
      await rm(directory, { recursive: true, force: true });
      await rename(made.directory, directory);
      return { paths, description };
    } catch (cause) {
      throw fileError('finish a template', directory, cause);
    }
  }

  /** Whether a clone of it was seen to answer since this host was started. */
  async isProven({ paths }: Pick<Template, 'paths'>): Promise<boolean> {
    try {
      return (await readFile(paths.used, 'utf8')) === this.#processes.self.bootId;
    } catch (cause) {
      if (systemCode(cause) === 'ENOENT') return false;
      throw fileError('read a file of a template', paths.used, cause);
    }
  }

  /** Whether a clone of it was ever seen to answer. */
  async wasProven({ paths }: Template): Promise<boolean> {
    return (await modifiedAt(paths.used)) !== undefined;
  }

  async markProven({ paths }: Pick<Template, 'paths'>): Promise<void> {
    try {
      await writeWhole(paths.used, this.#processes.self.bootId);
    } catch (error) {
      // Removed in the meantime, which harms no clone.
      const cause = error instanceof VmRunnerError ? error.cause : undefined;
      if (systemCode(cause) !== 'ENOENT') throw error;
    }
  }

  /** Keeps the time of a use. */
  async markUsed({ paths }: Pick<Template, 'paths'>): Promise<void> {
    const now = new Date();
    try {
      await utimes(paths.used, now, now);
    } catch (cause) {
      // Removed in the meantime, which harms no clone.
      if (systemCode(cause) !== 'ENOENT') throw fileError('mark the use of a template', paths.used, cause);
    }
  }

  async list(): Promise<readonly TemplateInfo[]> {
    const { records } = await this.#store.vms.list();
    const infos: TemplateInfo[] = [];
    for (const key of await this.#keys()) {
      const paths = this.#paths(key);
      const description = await readTemplate(paths).catch(() => undefined);
      if (description === undefined) continue;
      const { memoryMiB, cpus, acceleration, base, madeAt } = description;
      infos.push({
        ...{ key, memoryMiB, cpus, acceleration, base, madeAt },
        usedAt: (await modifiedAt(paths.used)) ?? madeAt,
        bytes: await bytesBelow(paths.directory),
        vms: records.filter((record) => record.template === key).length,
      });
    }
    return infos.sort((a, b) => b.usedAt - a.usedAt);
  }

  async remove(key: string): Promise<boolean> {
    if (!isKey(key)) return false;
    const { directory } = this.#paths(key);
    const aside = await makeTemporaryDirectory(this.#store.paths, this.#processes);
    try {
      // Nobody may find one of which only a part is there; clones have its files open and do not need their names.
      await rename(directory, path.join(aside, key));
      await this.#store.events.add('template', 'removed', key);
      return true;
    } catch (cause) {
      if (systemCode(cause) === 'ENOENT') return false;
      throw fileError('remove a template', directory, cause);
    } finally {
      await discardTemporary(aside);
    }
  }

  async prune(
    { unusedMs, budgetBytes = Infinity }: TemplateRules,
    { dryRun, now }: CollectOptions,
  ): Promise<Garbage[]> {
    const all = await this.list();
    let total = all.reduce((sum, { bytes }) => sum + bytes, 0);
    const garbage: Garbage[] = [];
    for (const { key, bytes, usedAt, vms } of [...all].reverse()) {
      const isUnused = now - usedAt > unusedMs;
      if (vms > 0 || (!isUnused && total <= budgetBytes)) continue;
      if (!dryRun) await this.remove(key);
      total -= bytes;
      const reason = isUnused ? 'no VM was cloned from it for long' : 'over the budget for templates';
      garbage.push({ kind: 'template', name: key, reason, bytes });
    }
    return garbage;
  }

  async verify(): Promise<readonly Finding[]> {
    const keys = await this.#keys();
    const findings: Finding[] = [];
    for (const key of keys) {
      const paths = this.#paths(key);
      try {
        const description = await readTemplate(paths);
        if (description !== undefined) await checkTemplate(paths, description);
      } catch (error) {
        const text = `${toVmRunnerError(error).message} Remove it with: vm-runner templates rm ${key}`;
        findings.push({ level: 'problem', subject: 'template', text });
      }
    }
    if (findings.length > 0) return findings;
    return [{ level: 'ok', subject: 'templates', text: `${keys.length} are as they were saved` }];
  }

  #paths(key: string): TemplatePaths {
    return templatePaths(path.join(this.#store.paths.templates, key));
  }

  async #keys(): Promise<readonly string[]> {
    try {
      return (await readdir(this.#store.paths.templates)).filter(isKey);
    } catch (cause) {
      throw fileError('list the templates', this.#store.paths.templates, cause);
    }
  }
}

function isKey(name: string): boolean {
  return /^[0-9a-f]{32}$/.test(name);
}

async function modifiedAt(file: string): Promise<number | undefined> {
  try {
    return (await stat(file)).mtimeMs;
  } catch (cause) {
    if (systemCode(cause) === 'ENOENT') return undefined;
    throw fileError('look at a file of a template', file, cause);
  }
}
