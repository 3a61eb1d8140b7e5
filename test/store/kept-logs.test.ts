import { mkdir, readdir, utimes, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

import { oldLogs } from '../../src/store/kept-logs.js';
import { temporaryDirectory } from '../support/temporary-directory.js';

const NOW = Date.parse('2026-01-02');
const RULES = { logsMs: 1000, logsOf: 10, logsBytes: 2 ** 20 };

/** Logs of four VMs, of which the first one is the oldest. */
async function logsOfVms(): Promise<string> {
  const logs = await temporaryDirectory();
  for (const [index, name] of ['vm-a', 'vm-b', 'vm-c', 'vm-d'].entries()) {
    await mkdir(path.join(logs, name));
    await writeFile(path.join(logs, name, 'console.log'), Buffer.alloc(64 * 1024, 'x'));
    const at = (NOW - 400 + 100 * index) / 1000;
    await utimes(path.join(logs, name), at, at);
  }
  return logs;
}

describe('logs of VMs that are gone', () => {
  it.each([
    [{}, []],
    [{ logsMs: 250 }, ['vm-b', 'vm-a']],
    [{ logsOf: 3 }, ['vm-a']],
    [{ logsBytes: 150 * 1024 }, ['vm-b', 'vm-a']],
  ])('go by the rule %j', async (rule, gone) => {
    const logs = await logsOfVms();
    const how = { now: NOW, dryRun: true };
    expect((await oldLogs({ logs }, { ...RULES, ...rule }, how)).map(({ name }) => name)).toEqual(gone);
    expect(await readdir(logs)).toHaveLength(4);
    const removed = await oldLogs({ logs }, { ...RULES, ...rule }, { ...how, dryRun: false });
    expect(removed.map(({ name }) => name)).toEqual(gone);
    expect(removed.every(({ bytes }) => bytes >= 64 * 1024)).toBe(true);
    expect(await readdir(logs)).toHaveLength(4 - gone.length);
  });
});
