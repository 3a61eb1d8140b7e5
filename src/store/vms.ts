import { mkdir, readdir, readFile, rename, rmdir } from 'node:fs/promises';

import { fileError, systemCode, VmRunnerError } from '../core/errors.js';
import type { ProcessTable } from '../core/process-identity.js';
import { removeTree } from './directories.js';
import { acquireLock, tryLock, type Lock } from './lock.js';
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
    const paths = await this.#takeName(record.name);
    try {
      await this.#write(record, paths);
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
      await this.#write(changed, this.paths(name));
      return changed;
    } finally {
      await lock.release();
    }
  }

  /**
   * Gives a VM another name: its directory, with the files and sockets in it, moves there, and its record says from the same moment
   * on what `change` makes of it. Whoever is killed on the way leaves it under one of the two names, as it was or changed.
   * @returns the new record; `undefined` when it is gone, or `change` does not want it: then nothing has changed
   * @throws invalid-input when a VM of the new name exists.
   */
  async rename(
    from: string,
    to: string,
    change: (record: VmRecord) => Partial<VmRecord> | undefined,
  ): Promise<VmRecord | undefined> {
    const [old, paths] = [this.paths(from), await this.#takeName(to)];
    let renamed: VmRecord | undefined;
    try {
      const lock = await acquireLock(`${this.#store.locks}/${from}.record`, { processes: this.#processes });
      try {
        const record = await this.read(from);
        const changes = record === undefined ? undefined : change(record);
        if (record === undefined || changes === undefined) return undefined;
        const changed = { ...record, ...changes, name: to };
        await this.#write(changed, old);
        // Over an empty directory, which is ours: nobody else's can be replaced.
        await rename(old.directory, paths.directory);
        renamed = changed;
        return renamed;
      } finally {
        await lock.release();
      }
    } catch (cause) {
      throw cause instanceof VmRunnerError ? cause : fileError('rename a VM', old.directory, cause);
    } finally {
      // What cannot be removed is in the way of that name only until the reaper takes it.
      if (renamed === undefined) await rmdir(paths.directory).catch(() => undefined);
    }
  }

  /** For who takes a VM away, or takes it over: one at a time does, and looks once more whether it still may. */
  async lock(name: string): Promise<Lock> {
    return acquireLock(this.#fate(name), { processes: this.#processes });
  }

  /** That lock without waiting for it; `undefined` when somebody has it. */
  async tryLock(name: string): Promise<Lock | undefined> {
    return tryLock(this.#fate(name), this.#processes);
  }

  /** `undefined` when there is no such VM. @throws store-damaged or store-newer when there is one but its record cannot be read. */
  async read(name: string): Promise<VmRecord | undefined> {
    if (!isVmName(name)) return undefined;
    const path = this.paths(name).record;
    const text = await this.#text(path);
    // Where it is tells its name: what is inside may be about to be another.
    return text === undefined ? undefined : { ...parseRecord(text, path), name };
  }

  /** All VMs, oldest first. Damaged ones are told apart, so that one of them does not hide the others. */
  async list(): Promise<{ readonly records: readonly VmRecord[]; readonly damaged: readonly DamagedVm[] }> {
    const found = await this.collect(async (name): Promise<VmRecord | DamagedVm | undefined> => {
      try {
        return await this.read(name);
      } catch (error) {
        if (!(error instanceof VmRunnerError)) throw error;
        return { name, error };
      }
    });
    const isDamaged = (one: VmRecord | DamagedVm): one is DamagedVm => 'error' in one;
    const records = found.filter((one): one is VmRecord => !isDamaged(one));
    records.sort((a, b) => a.createdAt - b.createdAt);
    return { records, damaged: found.filter(isDamaged) };
  }

  /**
   * What `look` finds of each VM; those of which it finds nothing are left out. One that gets another name meanwhile is found by at
   * least one of the two: as long as some are missing that were there a moment ago, it looks again.
   */
  async collect<T>(look: (name: string) => Promise<T | undefined>): Promise<T[]> {
    const found = new Map<string, T>();
    let missing: string | undefined;
    for (;;) {
      const names = (await this.names()).filter((name) => !found.has(name));
      const looks = await Promise.all(names.map(async (name) => [name, await look(name)] as const));
      for (const [name, one] of looks) if (one !== undefined) found.set(name, one);
      const without = names.filter((name) => !found.has(name)).join('/');
      if (without === '' || without === missing) return [...found.values()];
      missing = without;
    }
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
      // The store was deleted: those who still work in it must be able to end what they started.
      if (systemCode(cause) === 'ENOENT') return [];
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

  /** Makes the directory of a VM, which nobody else can make then. */
  async #takeName(name: string): Promise<VmPaths> {
    const paths = this.paths(name);
    try {
      await mkdir(paths.directory, { mode: 0o700 });
      return paths;
    } catch (cause) {
      if (systemCode(cause) === 'EEXIST') {
        throw new VmRunnerError('invalid-input', 'a VM of that name exists', {
          subject: name,
          hint: `Choose another name, or remove it with: vm-runner rm ${name}`,
        });
      }
      throw fileError('make the directory of a VM', paths.directory, cause);
    }
  }

  #fate(name: string): string {
    return `${this.#store.locks}/${name}.reap`;
  }

  async #write(record: VmRecord, { record: file }: VmPaths): Promise<void> {
    await writeWhole(file, `${JSON.stringify(record, undefined, 2)}\n`);
  }
}

/** What a VM may be called: it becomes a directory, a host name and a part of paths. */
export function isVmName(name: string): boolean {
  return /^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$/.test(name);
}

export function noSuchVm(name: string): VmRunnerError {
  return new VmRunnerError('no-such-vm', 'no such VM', { subject: name, hint: 'See what is there with: vm-runner ps' });
}
