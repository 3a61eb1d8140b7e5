import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

import { LinuxHostMemory } from '../../src/process/host-memory.js';
import { Capacity } from '../../src/store/capacity.js';
import { openStore } from '../../src/store/store.js';
import { temporaryDirectory } from '../support/temporary-directory.js';
import { startTypeScript } from '../support/typescript-child.js';
import { processes } from './vm-record.js';

const CHILD = path.join(import.meta.dirname, 'capacity-child.ts');
const PROCESSES = 5;
const JOBS_EACH = 6;

interface Ran {
  readonly number: number;
  readonly vms: number;
}

async function race(vms: number): Promise<{ readonly ran: readonly Ran[]; readonly codes: readonly unknown[] }> {
  const home = path.join(await temporaryDirectory(), 'home');
  const file = `${home}.ran`;
  const children = Array.from({ length: PROCESSES }, (_, index) =>
    startTypeScript(CHILD, ['jobs', home, `p${index}`, String(vms), file]),
  );
  const codes = await Promise.all(children.map(async (child) => (await once(child, 'exit'))[0] as unknown));
  const lines = (await readFile(file, 'utf8')).trim().split('\n');
  return { ran: lines.map((line) => JSON.parse(line) as Ran), codes };
}

/** What a child says next. */
async function said(child: ChildProcess): Promise<string> {
  if (child.stdout === null) throw new Error('no output of the child');
  const [chunk] = (await once(child.stdout, 'data')) as [Buffer];
  return chunk.toString().trim();
}

async function killed(child: ChildProcess): Promise<void> {
  child.kill('SIGKILL');
  await once(child, 'exit');
}

async function queueOf(home: string): Promise<readonly string[]> {
  const store = await openStore(home, processes);
  const limits = { vms: 1, keepFreeMemoryMiB: 0, keepFreeDiskMiB: 0 };
  const { queue } = await new Capacity({ store, processes, memory: new LinuxHostMemory(), limits }).snapshot();
  return queue.map(({ name }) => name);
}

describe('room that many processes want at once', { timeout: 120_000 }, () => {
  it('goes to each of them, one at a time and first come first served, where one VM is allowed', async () => {
    const { ran, codes } = await race(1);
    expect(codes).toEqual(Array(PROCESSES).fill(0));
    expect(ran.length).toBe(PROCESSES * JOBS_EACH);
    expect(ran.map(({ number }) => number)).toEqual(ran.map(({ number }) => number).toSorted((a, b) => a - b));
    expect(ran.every(({ vms }) => vms <= 1)).toBe(true);
  });

  it('is never given to more than are allowed', async () => {
    const { ran, codes } = await race(3);
    expect(codes).toEqual(Array(PROCESSES).fill(0));
    expect(ran.length).toBe(PROCESSES * JOBS_EACH);
    expect(Math.max(...ran.map(({ vms }) => vms))).toBeLessThanOrEqual(3);
  });

  it('is free again when its holder is killed before it has a record, and a killed waiter is passed by', async () => {
    const home = path.join(await temporaryDirectory(), 'home');
    const holder = startTypeScript(CHILD, ['stay', home, 'holder']);
    expect(await said(holder)).toBe('admitted');
    const waiter = startTypeScript(CHILD, ['stay', home, 'waiter']);
    expect(await said(waiter)).toBe('waiting');
    const next = startTypeScript(CHILD, ['stay', home, 'next']);
    expect(await said(next)).toBe('waiting');
    expect(await queueOf(home)).toEqual(['waiter', 'next']);
    await killed(waiter);
    expect(await queueOf(home)).toEqual(['next']);
    const told = said(next);
    await killed(holder);
    expect(await told).toBe('admitted');
    expect(await queueOf(home)).toEqual([]);
  });
});
