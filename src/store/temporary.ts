import { randomBytes } from 'node:crypto';
import { mkdir, readdir, rm } from 'node:fs/promises';
import path from 'node:path';

import { fileError } from '../core/errors.js';
import type { ProcessTable } from '../core/process-identity.js';
import type { StorePaths } from './paths.js';

/** A directory for something half made. Its name says whose it is, so that anyone can remove it when the maker is gone. */
export async function makeTemporaryDirectory(store: StorePaths, processes: ProcessTable): Promise<string> {
  const { pid, startTime, bootId } = processes.self;
  const directory = path.join(store.temporary, [pid, startTime, bootId, randomBytes(4).toString('hex')].join('_'));
  try {
    await mkdir(directory, { mode: 0o700 });
  } catch (cause) {
    throw fileError('make a directory', directory, cause);
  }
  return directory;
}

/** Removes what processes left half made that are gone. Returns the paths that it removed. */
export async function removeAbandoned(store: StorePaths, processes: ProcessTable): Promise<string[]> {
  const removed: string[] = [];
  for (const name of await readdir(store.temporary)) {
    const [pid, startTime, bootId] = name.split('_');
    const isOurs = pid !== undefined && startTime !== undefined && bootId !== undefined && /^\d+$/.test(pid);
    if (isOurs && processes.isAlive({ pid: Number(pid), startTime, bootId })) continue;
    const directory = path.join(store.temporary, name);
    try {
      await rm(directory, { recursive: true, force: true });
    } catch (cause) {
      throw fileError('remove a directory', directory, cause);
    }
    removed.push(directory);
  }
  return removed;
}
