import { readdir, readFile, stat } from 'node:fs/promises';
import path from 'node:path';

import { fileError, systemCode, VmRunnerError } from '../core/errors.js';
import type { StorePaths, VmPaths } from './paths.js';
import { parseRecord, type VmRecord } from './record.js';
import { isVmName } from './vms.js';

/** A VM that is gone and whose logs are kept. */
export interface EndedVm {
  readonly name: string;
  /** Milliseconds since 1970: when its logs were put away. */
  readonly endedAt: number;
  /** As it was at its end; `undefined` when it cannot be read any more. */
  readonly record: VmRecord | undefined;
}

/** The VMs whose logs are kept, the one that ended first first. */
export async function listEnded(store: Pick<StorePaths, 'logs'>): Promise<readonly EndedVm[]> {
  let names: string[];
  try {
    names = await readdir(store.logs);
  } catch (cause) {
    throw fileError('list the logs', store.logs, cause);
  }
  const found = await Promise.all(names.filter(isVmName).map((name) => findEnded(store, name)));
  return found.filter((one) => one !== undefined).sort((a, b) => a.endedAt - b.endedAt);
}

/** `undefined` when no logs of such a VM are kept. */
export async function findEnded(store: Pick<StorePaths, 'logs'>, name: string): Promise<EndedVm | undefined> {
  if (!isVmName(name)) return undefined;
  const directory = path.join(store.logs, name);
  try {
    const endedAt = (await stat(directory)).mtimeMs;
    return { name, endedAt: Math.round(endedAt), record: await readRecord(path.join(directory, 'vm.json')) };
  } catch (cause) {
    if (systemCode(cause) === 'ENOENT') return undefined;
    throw fileError('look at a log', directory, cause);
  }
}

/** Where the logs of a VM that is gone are: the files that it had, in another directory. */
export function endedPaths(store: Pick<StorePaths, 'logs'>, name: string, vm: VmPaths): LogPaths {
  const at = (file: string): string => path.join(store.logs, name, path.basename(file));
  return {
    console: at(vm.console),
    vmmLog: at(vm.vmmLog),
    jobLog: at(vm.jobLog),
    jobLogBefore: at(vm.jobLogBefore),
  };
}

export type LogPaths = Pick<VmPaths, 'console' | 'vmmLog' | 'jobLog' | 'jobLogBefore'>;

async function readRecord(file: string): Promise<VmRecord | undefined> {
  try {
    return parseRecord(await readFile(file, 'utf8'), file);
  } catch (error) {
    // Logs are worth showing also without it.
    if (error instanceof VmRunnerError || systemCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}
