import { randomBytes } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import path from 'node:path';

import { fileError } from '../core/errors.js';
import type { ProcessTable } from '../core/process-identity.js';
import { acquireLock, tryLock } from '../store/lock.js';
import type { StorePaths } from '../store/paths.js';

export interface Rooms {
  readonly store: StorePaths;
  readonly processes: ProcessTable;
}

/** Held only for moments. */
const GATE = 'images';
const USER_PREFIX = 'images-user-';

/**
 * Lets `work` make images of layers: nothing is swept away meanwhile that no image names yet. Any number may do so at the same
 * time.
 */
export async function whileMakingImages<T>(
  { store, processes }: Rooms,
  signal: AbortSignal,
  work: () => Promise<T>,
): Promise<T> {
  const gate = await acquireLock(path.join(store.locks, GATE), { processes, signal });
  // Nobody competes for it: it tells that we are here, and its name goes with us.
  const mark = await acquireLock(path.join(store.locks, `${USER_PREFIX}${randomBytes(8).toString('hex')}`), {
    processes,
    signal,
  }).finally(() => gate.release());
  try {
    return await work();
  } finally {
    await mark.release();
  }
}

/** Runs `work` while nobody makes images; @returns `undefined` when somebody does just now */
export async function whenNobodyMakesImages<T>(rooms: Rooms, work: () => Promise<T>): Promise<T | undefined> {
  const gate = await acquireLock(path.join(rooms.store.locks, GATE), { processes: rooms.processes });
  try {
    return (await hasUsers(rooms)) ? undefined : await work();
  } finally {
    await gate.release();
  }
}

async function hasUsers({ store, processes }: Rooms): Promise<boolean> {
  const names = await readdir(store.locks).catch((cause: unknown) => {
    throw fileError('list the locks', store.locks, cause);
  });
  for (const name of names.filter((each) => /^images-user-[0-9a-f]{16}$/.test(each))) {
    // Those of dead processes can be had, and go.
    const lock = await tryLock(path.join(store.locks, name), processes);
    if (lock === undefined) return true;
    await lock.release();
  }
  return false;
}
