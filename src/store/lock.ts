import { randomBytes } from 'node:crypto';
import { link, readFile, rename, rm, unlink, writeFile } from 'node:fs/promises';

import pRetry from 'p-retry';

import { abortReason } from '../core/deadline.js';
import { fileError, systemCode, VmRunnerError } from '../core/errors.js';
import { parseProcessIdentity, type ProcessIdentity, type ProcessTable } from '../core/process-identity.js';

export interface LockOptions {
  readonly processes: ProcessTable;
  /** Ends the waiting. */
  readonly signal?: AbortSignal | undefined;
  /** Called once when the lock is not free at once, with its holder. */
  readonly onWait?: (holder: ProcessIdentity) => void;
}

export interface Lock {
  release(): Promise<void>;
}

/**
 * Takes a lock that other processes see: a file that names its holder. Node has no flock, so a lock whose holder was
 * killed is broken by whoever comes next; one whose holder lives is waited for.
 */
export async function acquireLock(path: string, options: LockOptions): Promise<Lock> {
  let told = false;
  const take = async (): Promise<Lock> => {
    const lock = await tryLock(path, options.processes);
    if (lock !== undefined) return lock;
    const holder = await readHolder(path);
    if (holder !== undefined && !told) {
      told = true;
      options.onWait?.(holder);
    }
    throw new VmRunnerError('store-busy', 'lock is taken', { subject: path });
  };
  try {
    return await pRetry(take, {
      retries: Infinity,
      minTimeout: 5,
      maxTimeout: 200,
      factor: 1.5,
      signal: options.signal,
      shouldRetry: ({ error }) => error instanceof VmRunnerError && error.code === 'store-busy',
    });
  } catch (error) {
    throw options.signal?.aborted === true ? abortReason(options.signal) : error;
  }
}

/** Takes the lock if it is free or its holder is gone; `undefined` when somebody has it. */
export async function tryLock(path: string, processes: ProcessTable): Promise<Lock | undefined> {
  if (await create(path, processes.self)) return { release: () => removeFile(path) };
  const holder = await readHolder(path);
  if (holder !== undefined && processes.isAlive(holder)) return undefined;
  await breakLock(path, processes);
  if (await create(path, processes.self)) return { release: () => removeFile(path) };
  return undefined;
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
    await rm(temporary, { force: true });
  }
}

/**
 * Moves a dead holder's lock away. Two who find the same dead lock must not both remove it, because the slower one would
 * remove the faster one's new lock: only the holder of a second lock breaks, and looks at the first one again.
 */
async function breakLock(path: string, processes: ProcessTable): Promise<void> {
  const breaking = `${path}.breaking`;
  if (!(await create(breaking, processes.self))) {
    const breaker = await readHolder(breaking);
    // Killed while breaking: the next round tries again without it.
    if (breaker === undefined || !processes.isAlive(breaker)) await moveAway(breaking, processes);
    return;
  }
  try {
    const holder = await readHolder(path);
    if (holder === undefined || !processes.isAlive(holder)) await moveAway(path, processes);
  } finally {
    await removeFile(breaking);
  }
}

/** Moves a lock away whose holder is dead. Between the look and the move it may have become somebody's: then it goes back. */
async function moveAway(path: string, processes: ProcessTable): Promise<void> {
  const aside = temporaryName(path);
  try {
    await rename(path, aside);
  } catch (cause) {
    if (systemCode(cause) === 'ENOENT') return;
    throw fileError('break a lock', path, cause);
  }
  const holder = await readHolder(aside);
  if (holder !== undefined && processes.isAlive(holder)) await putBack(aside, path);
  await rm(aside, { force: true });
}

async function putBack(aside: string, path: string): Promise<void> {
  try {
    await link(aside, path);
  } catch (cause) {
    // Taken in that moment: two hold it now, which only three processes within microseconds can bring about.
    if (systemCode(cause) !== 'EEXIST') throw fileError('put a lock back', path, cause);
  }
}

/** Who has the lock; `undefined` when nobody has, or when what is there names nobody. */
async function readHolder(path: string): Promise<ProcessIdentity | undefined> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    if (systemCode(cause) === 'ENOENT') return undefined;
    throw fileError('read a lock', path, cause);
  }
  try {
    return parseProcessIdentity(JSON.parse(text));
  } catch {
    // Not JSON: a lock that names nobody has no holder to respect.
    return undefined;
  }
}

async function removeFile(path: string): Promise<void> {
  try {
    await unlink(path);
  } catch (cause) {
    if (systemCode(cause) !== 'ENOENT') throw fileError('release a lock', path, cause);
  }
}

function temporaryName(path: string): string {
  return `${path}.${randomBytes(6).toString('hex')}.tmp`;
}
