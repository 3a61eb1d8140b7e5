import { describe, expect, it } from 'vitest';

import { LinuxHostMemory } from '../../src/process/host-memory.js';

const GIB = 2 ** 30;
const MEMINFO = 'MemTotal:       16777216 kB\nMemFree:         1048576 kB\nMemAvailable:    8388608 kB\n';

function memoryOf(files: Readonly<Record<string, string>>): LinuxHostMemory {
  return new LinuxHostMemory((file) => files[file]);
}

describe('memory of the host', () => {
  it('is what the kernel says', () => {
    expect(memoryOf({ '/proc/meminfo': MEMINFO }).read()).toEqual({ total: 16 * GIB, available: 8 * GIB });
  });

  it('is no more than each control group allows that this process is in', () => {
    const memory = memoryOf({
      '/proc/meminfo': MEMINFO,
      '/proc/self/cgroup': '5:memory:/old\n0::/runner/job\n',
      '/sys/fs/cgroup/runner/job/memory.max': 'max\n',
      '/sys/fs/cgroup/runner/job/memory.current': '4096\n',
      '/sys/fs/cgroup/runner/memory.max': `${4 * GIB}\n`,
      '/sys/fs/cgroup/runner/memory.current': `${3 * GIB}\n`,
      '/sys/fs/cgroup/runner/memory.stat': `anon 1\ninactive_file ${GIB}\nactive_file 7\n`,
    });
    expect(memory.read()).toEqual({ total: 4 * GIB, available: 2 * GIB });
  });

  it('is read in a container, whose own group is the top', () => {
    const memory = memoryOf({
      '/proc/meminfo': MEMINFO,
      '/proc/self/cgroup': '0::/\n',
      '/sys/fs/cgroup/memory.max': `${2 * GIB}\n`,
      '/sys/fs/cgroup/memory.current': `${3 * GIB}\n`,
    });
    expect(memory.read()).toEqual({ total: 2 * GIB, available: 0 });
  });

  it('that cannot be measured is a sentence', () => {
    expect(() => memoryOf({}).read()).toThrow(
      'memory of this host cannot be measured: /proc/meminfo. Run vm-runner on Linux 3.14 or newer with /proc mounted.',
    );
  });

  it('of a process is what it does not map from files', () => {
    const status = 'VmRSS:\t  900 kB\nRssAnon:\t     100 kB\nRssFile:\t     500 kB\nRssShmem:\t     300 kB\n';
    const memory = memoryOf({ '/proc/7/status': status });
    expect(memory.usedBy(7)).toBe(400 * 1024);
    expect(memory.usedBy(8)).toBe(0);
  });

  it('can be read of this machine', () => {
    const memory = new LinuxHostMemory();
    const { total, available } = memory.read();
    expect(available).toBeGreaterThan(0);
    expect(total).toBeGreaterThan(available);
    expect(memory.usedBy(process.pid)).toBeGreaterThan(1024 * 1024);
    expect(memory.usedBy(2 ** 22)).toBe(0);
  });
});
