import { link, readdir, readFile, rm, unlink, writeFile } from 'node:fs/promises';

import path from 'node:path';

import pRetry from 'p-retry';

import { abortReason, Deadline } from '../core/deadline.js';
import { fileError, systemCode, VmRunnerError } from '../core/errors.js';
import type { CollectOptions, Garbage } from '../core/garbage.js';
import { parseProcessIdentity, type ProcessIdentity, type ProcessTable } from '../core/process-identity.js';
import { formatDuration } from '../core/units.js';
import { tryMutex } from './mutex.js';
import { temporaryName, writerOf } from './whole-file.js';

export interface LockOptions {
  readonly processes: ProcessTable;
  /** Ends the waiting. */
  readonly signal?: AbortSignal | undefined;
  /** Default: an hour when `onWait` tells that somebody works at something, else five minutes. */
  readonly timeoutMs?: number;
  /** Called once when the lock is not free at once, with its holder. */
  readonly onWait?: (holder: ProcessIdentity) => void;
}

/** Locks that are held for moments are not worth more: their holder was stopped. */
const MOMENTS_MS = 5 * 60_000;
/** The longest build or pull that somebody waits for. */
const WORK_MS = 3_600_000;

export interface Lock {
  release(): Promise<void>;
}

/**
 * Takes a lock that other processes see: a file that names its holder. Node has no flock, so a lock whose holder was
 * killed is broken by whoever comes next; one whose holder lives is waited for.
 * @throws store-busy when it is held for too long
 */
export async function acquireLock(path: string, options: LockOptions): Promise<Lock> {
  const { processes, signal, onWait, timeoutMs = onWait === undefined ? MOMENTS_MS : WORK_MS } = options;
  let told: ProcessIdentity | undefined;
  const take = async (): Promise<Lock> => {
    const lock = await tryLock(path, processes);
    if (lock !== undefined) return lock;
    const holder = await readHolder(path);
    if (holder !== undefined && holder !== 'nobody') {
      if (told === undefined) onWait?.(holder);
      told = holder;
    }
    throw new Taken();
  };
  using deadline = new Deadline(timeoutMs, () => busy(path, told, timeoutMs), signal);
  try {
    return await pRetry(take, {
      retries: Infinity,
      minTimeout: 5,
      maxTimeout: 200,
      factor: 1.5,
      signal: deadline.signal,
      shouldRetry: ({ error }) => error instanceof Taken,
    });
  } catch (error) {
    throw deadline.signal.aborted ? abortReason(deadline.signal) : error;
  }
}

/** That a lock has another holder now. */
class Taken extends Error {}

function busy(path: string, holder: ProcessIdentity | undefined, timeoutMs: number): VmRunnerError {
  const who = holder === undefined ? 'other processes' : `process ${holder.pid}`;
  return new VmRunnerError('store-busy', `lock was held for ${formatDuration(timeoutMs)} by ${who}`, {
    subject: path,
    hint: 'Look whether that still works; when it hangs, end it, and the lock is free.',
  });
}

/** Takes the lock if it is free or its holder is gone; `undefined` when somebody has it. */
export async function tryLock(path: string, processes: ProcessTable): Promise<Lock | undefined> {
  if (await create(path, processes.self)) return { release: () => removeFile(path) };
  if (await isHeld(path, processes)) return undefined;
  await breakLock(path, processes);
  if (await create(path, processes.self)) return { release: () => removeFile(path) };
  return undefined;
}

async function isHeld(path: string, processes: ProcessTable): Promise<boolean> {
  const holder = await readHolder(path);
  return holder !== undefined && holder !== 'nobody' && processes.isAlive(holder);
}

/** The file appears whole or not at all: a link to a finished one. */
async function create(path: string, self: ProcessIdentity): Promise<boolean> {
  const temporary = temporaryName(path);
  try {
    await writeFile(temporary, JSON.stringify(self), { mode: 0o600, flag: 'wx' });
    await link(temporary, path);
    return true;
  } catch (cause) {
    if (systemCode(cause) === 'EEXIST') return false;
    throw fileError('take a lock', path, cause);
  } finally {
    // The lock is had or not, whatever becomes of this: gc takes what is left.
    await rm(temporary, { force: true }).catch(() => undefined);
  }
}

/**
 * Removes a dead holder's lock. Two who find the same dead lock must not both remove it, because the slower one would remove
 * the faster one's new lock: only who holds the lock's mutex breaks, and looks again. The kernel frees it with its holder.
 */
async function breakLock(path: string, processes: ProcessTable): Promise<void> {
  const mutex = await tryMutex(path);
  // Somebody else is at it: the next round sees what came of it.
  if (mutex === undefined) return;
  try {
    // One look decides: between two the lock could become another's.
    const holder = await readHolder(path);
    if (holder === 'nobody' || (holder !== undefined && !processes.isAlive(holder))) await removeFile(path);
  } finally {
    await mutex.release();
  }
}

/** Who has the lock; `undefined` when it is free. */
async function readHolder(path: string): Promise<ProcessIdentity | 'nobody' | undefined> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    if (systemCode(cause) === 'ENOENT') return undefined;
    throw fileError('read a lock', path, cause);
  }
  try {
    return parseProcessIdentity(JSON.parse(text)) ?? 'nobody';
  } catch {
    // Not JSON: a lock that names nobody has no holder to respect.
    return 'nobody';
  }
}

async function removeFile(path: string): Promise<void> {
  try {
    await unlink(path);
  } catch (cause) {
    if (systemCode(cause) !== 'ENOENT') throw fileError('release a lock', path, cause);
  }
}

/** Locks whose holder is gone: whoever wants one breaks it, but nobody may ever want it again. */
export async function deadLocks(
  directory: string,
  processes: ProcessTable,
  { dryRun }: Pick<CollectOptions, 'dryRun'>,
): Promise<readonly Garbage[]> {
  const garbage: Garbage[] = [];
  for (const entry of await readdir(directory, { withFileTypes: true })) {
    const { name } = entry;
    const file = path.join(directory, name);
    // Whatever else somebody put there is no lock.
    if (!entry.isFile()) continue;
    // A file that is being written is no lock yet.
    if (writerOf(name) !== undefined || (await readHolder(file)) === undefined || (await isHeld(file, processes)))
      continue;
    if (!dryRun) await breakLock(file, processes);
    garbage.push({ kind: 'lock', name, reason: 'its holder is gone', bytes: 0 });
  }
  return garbage;
}
