import { mkdir, readdir, readFile } from 'node:fs/promises';

import { fileError, systemCode, VmRunnerError } from '../core/errors.js';
import type { ProcessTable } from '../core/process-identity.js';
import { removeTree } from './directories.js';
import { acquireLock } from './lock.js';
import { vmPaths, type StorePaths, type VmPaths } from './paths.js';
import { parseRecord, type VmRecord } from './record.js';
import { discardTemporary } from './temporary.js';
import { writeWhole } from './whole-file.js';

/** A VM's directory whose record cannot be read: it is damaged, or of a newer vm-runner (`store-newer`). */
export interface DamagedVm {
  readonly name: string;
  readonly error: VmRunnerError;
}

/** As it stands in a record. In a text of one it would have backslashes. */
const VMM_UID = /"vmmUid":\s*(\d+)/g;

/** The records of all VMs of this store, one directory each. */
export class VmRecords {
  readonly #store: StorePaths;
  readonly #processes: ProcessTable;

  constructor(store: StorePaths, processes: ProcessTable) {
    this.#store = store;
    this.#processes = processes;
  }

  paths(name: string): VmPaths {
    return vmPaths(this.#store, name);
  }

  /**
   * Makes the directory of a VM with its record: the first thing that exists of it.
   * @throws invalid-input when a VM of that name exists.
   */
  async create(record: VmRecord): Promise<VmPaths> {
    const paths = this.paths(record.name);
    try {
      await mkdir(paths.directory, { mode: 0o700 });
    } catch (cause) {
      if (systemCode(cause) === 'EEXIST') {
        throw new VmRunnerError('invalid-input', 'a VM of that name exists', {
          subject: record.name,
          hint: `Choose another name, or remove it with: vm-runner rm ${record.name}`,
        });
      }
      throw fileError('make the directory of a VM', paths.directory, cause);
    }
    try {
      await this.#write(record);
    } catch (error) {
      // A directory without a record would be in everyone's way until the reaper takes it.
      await discardTemporary(paths.directory);
      throw error;
    }
    return paths;
  }

  /** Changes fields of a record while nobody else does. */
  async update(name: string, change: Partial<VmRecord>): Promise<VmRecord> {
    const lock = await acquireLock(`${this.#store.locks}/${name}.record`, { processes: this.#processes });
    try {
      const record = await this.read(name);
      if (record === undefined) throw noSuchVm(name);
      const changed = { ...record, ...change, name };
      await this.#write(changed);
      return changed;
    } finally {
      await lock.release();
    }
  }

  /** `undefined` when there is no such VM. @throws store-damaged or store-newer when there is one but its record cannot be read. */
  async read(name: string): Promise<VmRecord | undefined> {
    if (!isVmName(name)) return undefined;
    const path = this.paths(name).record;
    const text = await this.#text(path);
    return text === undefined ? undefined : parseRecord(text, path);
  }

  /** All VMs, oldest first. Damaged ones are told apart, so that one of them does not hide the others. */
  async list(): Promise<{ readonly records: readonly VmRecord[]; readonly damaged: readonly DamagedVm[] }> {
    const records: VmRecord[] = [];
    const damaged: DamagedVm[] = [];
    for (const name of await this.names()) {
      try {
        const record = await this.read(name);
        if (record !== undefined) records.push(record);
      } catch (error) {
        if (!(error instanceof VmRunnerError)) throw error;
        damaged.push({ name, error });
      }
    }
    records.sort((a, b) => a.createdAt - b.createdAt);
    return { records, damaged };
  }

  /**
   * The users that QEMUs of this store have. Looked for in the text of the records, so that one of a newer vm-runner, which we cannot
   * read, keeps its own, too.
   */
  async vmmUids(): Promise<ReadonlySet<number>> {
    const texts = await Promise.all((await this.names()).map((name) => this.#text(this.paths(name).record)));
    return new Set(texts.flatMap((text = '') => [...text.matchAll(VMM_UID)].map(([, uid]) => Number(uid))));
  }

  /** Names of all directories below `vms`, also of those without a record. */
  async names(): Promise<string[]> {
    try {
      const entries = await readdir(this.#store.vms, { withFileTypes: true });
      return entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
    } catch (cause) {
      throw fileError('list the VMs', this.#store.vms, cause);
    }
  }

  /** Removes all that the store has of a VM. One that is not there is no error. */
  async remove(name: string): Promise<void> {
    const { directory } = this.paths(name);
    await removeTree(directory, 'remove the directory of a VM');
  }

  async #text(path: string): Promise<string | undefined> {
    try {
      return await readFile(path, 'utf8');
    } catch (cause) {
      if (systemCode(cause) === 'ENOENT') return undefined;
      throw fileError('read the record of a VM', path, cause);
    }
  }

  async #write(record: VmRecord): Promise<void> {
    await writeWhole(this.paths(record.name).record, `${JSON.stringify(record, undefined, 2)}\n`);
  }
}

/** What a VM may be called: it becomes a directory, a host name and a part of paths. */
export function isVmName(name: string): boolean {
  return /^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$/.test(name);
}

export function noSuchVm(name: string): VmRunnerError {
  return new VmRunnerError('no-such-vm', 'no such VM', { subject: name, hint: 'See what is there with: vm-runner ps' });
}
