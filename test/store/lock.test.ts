import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readdir, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

import type { ProcessTable } from '../../src/core/process-identity.js';
import { LinuxProcessTable } from '../../src/process/table.js';
import { acquireLock, deadLocks, tryLock } from '../../src/store/lock.js';
import { temporaryDirectory } from '../support/temporary-directory.js';

const processes = new LinuxProcessTable();

/** What the process table looks like from a process that has ended. */
async function deadProcess(): Promise<ProcessTable> {
  const child = spawn('cat');
  await once(child, 'spawn');
  const self = processes.identify(child.pid ?? 0);
  child.kill('SIGKILL');
  await once(child, 'close');
  if (self === undefined) throw new Error('the child was gone too early');
  return { self, identify: (pid) => processes.identify(pid), isAlive: (identity) => processes.isAlive(identity) };
}

/** Tries as a waiter does: a first round may only clear the way. */
async function acquireOnce(file: string): Promise<boolean> {
  const lock = (await tryLock(file, processes)) ?? (await tryLock(file, processes));
  return lock !== undefined;
}

describe('a lock', () => {
  it('is held by one at a time', async () => {
    const file = path.join(await temporaryDirectory(), 'x');
    const lock = await acquireLock(file, { processes });
    expect(await tryLock(file, processes)).toBeUndefined();
    await lock.release();
    expect(await tryLock(file, processes)).toBeDefined();
  });

  it('is waited for, and its holder is told', async () => {
    const file = path.join(await temporaryDirectory(), 'x');
    const first = await acquireLock(file, { processes });
    const told: number[] = [];
    const second = acquireLock(file, { processes, onWait: (holder) => told.push(holder.pid) });
    await expect.poll(() => told).toEqual([process.pid]);
    await first.release();
    await (await second).release();
  });

  it('is not waited for without end: the error names who has it', async () => {
    const file = path.join(await temporaryDirectory(), 'x');
    await acquireLock(file, { processes });
    await expect(acquireLock(file, { processes, timeoutMs: 20 })).rejects.toMatchObject({
      code: 'store-busy',
      message: `lock was held for 20 ms by process ${process.pid}: ${file}. Look whether that still works; when it hangs, end it, and the lock is free.`,
    });
  });

  it('of a dead process is found among other things that somebody put there', async () => {
    const directory = await temporaryDirectory();
    await mkdir(path.join(directory, 'foreign'));
    await acquireLock(path.join(directory, 'held'), { processes });
    await acquireLock(path.join(directory, 'dead'), { processes: await deadProcess() });
    expect((await deadLocks(directory, processes, { dryRun: false })).map(({ name }) => name)).toEqual(['dead']);
    expect((await readdir(directory)).sort()).toEqual(['foreign', 'held']);
  });

  it('is broken when its holder was killed', async () => {
    const file = path.join(await temporaryDirectory(), 'x');
    await acquireLock(file, { processes: await deadProcess() });
    expect(await tryLock(file, processes)).toBeDefined();
  });

  it('is broken when its holder is another process with the same pid', async () => {
    const file = path.join(await temporaryDirectory(), 'x');
    await writeFile(file, JSON.stringify({ ...processes.self, startTime: '1' }));
    expect(await tryLock(file, processes)).toBeDefined();
  });

  it('is broken when what is in it names nobody', async () => {
    const file = path.join(await temporaryDirectory(), 'x');
    await writeFile(file, 'not json');
    expect(await tryLock(file, processes)).toBeDefined();
  });

  it('is broken by one when many find the same dead holder', async () => {
    const directory = await temporaryDirectory();
    const file = path.join(directory, 'x');
    for (let round = 0; round < 20; round += 1) {
      const dead = await acquireLock(file, { processes: await deadProcess() });
      const taken = await Promise.all(Array.from({ length: 8 }, () => tryLock(file, processes)));
      expect(taken.filter((lock) => lock !== undefined).length).toBeLessThanOrEqual(1);
      await dead.release();
    }
    expect(await readdir(directory)).toEqual([]);
  });

  it('is broken once however many come, whatever path they come by', async () => {
    const directory = await temporaryDirectory();
    await mkdir(path.join(directory, 'real'));
    await symlink('real', path.join(directory, 'link'));
    const [file, same] = [path.join(directory, 'real/x'), path.join(directory, 'link/x')];
    for (let round = 0; round < 50; round += 1) {
      const dead = await acquireLock(file, { processes: await deadProcess() });
      const taken = await Promise.all(
        Array.from({ length: 20 }, (_, index) => acquireOnce(index % 2 === 0 ? file : same)),
      );
      expect(taken.filter((got) => got).length).toBe(1);
      await dead.release();
    }
    expect(await readdir(path.join(directory, 'real'))).toEqual([]);
  });

  it('gives up waiting when its signal aborts', async () => {
    const file = path.join(await temporaryDirectory(), 'x');
    await acquireLock(file, { processes });
    await expect(acquireLock(file, { processes, signal: AbortSignal.timeout(20) })).rejects.toMatchObject({
      code: 'cancelled',
    });
  });
});
