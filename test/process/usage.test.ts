import { describe, expect, it } from 'vitest';

import { LinuxProcessTable } from '../../src/process/table.js';
import { processUsage } from '../../src/process/usage.js';

const IDENTITY = { pid: 42, startTime: '100', bootId: 'b' };
const STAT = '42 (a b) c) S 1 42 42 0 -1 4194560 100 0 0 0 150 50 0 0 20 0 3 0 100 1000 10';
const STATUS = 'Name:\tx\nVmRSS:\t    2048 kB\nThreads:\t3\n';

function usageIn(files: Readonly<Record<string, string>>, isAlive = true) {
  return processUsage(IDENTITY, { isAlive: () => isAlive }, (file) => files[file.replace('/proc/42/', '')]);
}

describe('processUsage', () => {
  it('counts the time in user and system mode, and its part of shared memory', () => {
    const smaps = 'Rss:  2048 kB\nPss:  1024 kB\n';
    expect(usageIn({ stat: STAT, status: STATUS, smaps_rollup: smaps })).toEqual({
      cpuMs: 2000,
      memoryBytes: 1024 * 1024,
      threads: 3,
    });
  });

  it('counts all of its memory where its part cannot be read', () => {
    expect(usageIn({ stat: STAT, status: STATUS })).toMatchObject({ memoryBytes: 2048 * 1024 });
  });

  it('says nothing of a process that is gone, or whose number another one has by now', () => {
    expect(usageIn({})).toBeUndefined();
    expect(usageIn({ stat: STAT, status: STATUS }, false)).toBeUndefined();
  });

  it('reads a real one', () => {
    const processes = new LinuxProcessTable();
    const usage = processUsage(processes.self, processes);
    expect(usage?.cpuMs).toBeGreaterThan(0);
    expect(usage?.memoryBytes).toBeGreaterThan(2 ** 20);
    expect(usage?.memoryBytes).toBeLessThanOrEqual(process.memoryUsage.rss() * 2);
  });
});
