import { readdir, rm, stat } from 'node:fs/promises';
import path from 'node:path';

import { fileError, systemCode } from '../core/errors.js';
import type { ProcessTable } from '../core/process-identity.js';
import { breakDeadLock } from './lock.js';
import type { StorePaths } from './paths.js';

/** What is written whole is there within moments; a clock that is set by hours must not make it look left. Milliseconds. */
export const LEFT_FILE_MS = 86_400_000;

/**
 * Removes what killed processes left of a store's small files: locks, and temporary files that were to become whole ones.
 * @param before temporary files that were written later stay; milliseconds since 1970
 */
export async function removeLeftFiles(store: StorePaths, processes: ProcessTable, before: number): Promise<void> {
  for (const name of await namesIn(store.locks)) {
    if (!isTemporary(name)) await breakDeadLock(path.join(store.locks, name), processes);
  }
  const nested = [store.logs, store.templates];
  const below = await Promise.all(
    nested.map(async (directory) => (await namesIn(directory)).map((name) => path.join(directory, name))),
  );
  for (const directory of [store.home, store.locks, store.refs, ...nested, ...below.flat()]) {
    for (const name of (await namesIn(directory)).filter(isTemporary)) {
      const file = path.join(directory, name);
      if ((await writtenAt(file)) < before) await remove(file);
    }
  }
}

function isTemporary(name: string): boolean {
  return /\.[0-9a-f]{12}\.tmp$/.test(name);
}

/** Of a directory that is gone, or of a file: none. */
async function namesIn(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (cause) {
    if (['ENOENT', 'ENOTDIR'].includes(systemCode(cause) ?? '')) return [];
    throw fileError('list a directory', directory, cause);
  }
}

/** Milliseconds since 1970; what has become a whole file meanwhile is no longer to be removed. */
async function writtenAt(file: string): Promise<number> {
  try {
    return (await stat(file)).mtimeMs;
  } catch (cause) {
    if (systemCode(cause) === 'ENOENT') return Infinity;
    throw fileError('look at a file', file, cause);
  }
}

async function remove(file: string): Promise<void> {
  try {
    await rm(file, { force: true });
  } catch (cause) {
    throw fileError('remove a file', file, cause);
  }
}
