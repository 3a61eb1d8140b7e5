import { randomBytes } from 'node:crypto';
import { mkdir, readdir, rm } from 'node:fs/promises';
import path from 'node:path';

import { fileError, systemCode } from '../core/errors.js';
import type { CollectOptions, Garbage } from '../core/garbage.js';
import type { ProcessTable } from '../core/process-identity.js';
import { removeTree } from './directories.js';
import { bytesBelow } from './disk-use.js';
import type { StorePaths } from './paths.js';
import { writerOf } from './whole-file.js';

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

/**
 * Removes what its maker is done with, or could not finish. That this failed must neither hide why, nor fail what worked: what
 * is left goes with gc.
 */
export async function discardTemporary(directory: string): Promise<void> {
  await rm(directory, { recursive: true, force: true }).catch(() => undefined);
}

/** What processes left half made that are gone: directories, and files that are written whole. */
export async function abandoned(
  store: StorePaths,
  processes: ProcessTable,
  { dryRun }: Pick<CollectOptions, 'dryRun'>,
): Promise<Garbage[]> {
  const directories = (await namesIn(store.temporary)).filter((name) => !isMaker(processes, name));
  const left = directories.map((name) => path.join(store.temporary, name));
  const nested = await Promise.all([store.templates, store.logs].map(directoriesIn));
  for (const directory of [store.home, store.locks, store.refs, store.templates, ...nested.flat()]) {
    const names = (await namesIn(directory)).filter((name) => isLeft(processes, name));
    left.push(...names.map((name) => path.join(directory, name)));
  }
  const garbage: Garbage[] = [];
  for (const file of left) {
    const bytes = await bytesBelow(file);
    if (!dryRun) await removeTree(file, 'remove what was left half made');
    garbage.push({ kind: 'half-made', name: file, reason: 'its maker is gone', bytes });
  }
  return garbage;
}

function isMaker(processes: ProcessTable, name: string): boolean {
  const [pid, startTime, bootId] = name.split('_');
  const isOurs = pid !== undefined && startTime !== undefined && bootId !== undefined && /^\d+$/.test(pid);
  return isOurs && processes.isAlive({ pid: Number(pid), startTime, bootId });
}

function isLeft(processes: ProcessTable, name: string): boolean {
  const writer = writerOf(name);
  return writer !== undefined && processes.identify(writer) === undefined;
}

async function directoriesIn(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { withFileTypes: true }).catch((cause: unknown) => {
    throw fileError('list a directory of the store', directory, cause);
  });
  return entries.filter((entry) => entry.isDirectory()).map(({ name }) => path.join(directory, name));
}

/** Of a directory that is gone: none. */
async function namesIn(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (cause) {
    if (systemCode(cause) === 'ENOENT') return [];
    throw fileError('list a directory of the store', directory, cause);
  }
}
