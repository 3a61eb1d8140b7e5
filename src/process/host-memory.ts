import path from 'node:path';

import { VmRunnerError } from '../core/errors.js';
import type { HostMemory, MemoryReading } from '../core/host-memory.js';
import { kibibytes, readKernelFile, type ReadKernelFile } from './kernel-file.js';

const CGROUPS = '/sys/fs/cgroup';

/** Memory of this Linux host, and of the control groups (version 2) that this process is in. */
export class LinuxHostMemory implements HostMemory {
  readonly #read: ReadKernelFile;

  constructor(read: ReadKernelFile = readKernelFile) {
    this.#read = read;
  }

  read(): MemoryReading {
    const text = this.#read('/proc/meminfo');
    const total = kibibytes(text, 'MemTotal');
    const available = kibibytes(text, 'MemAvailable');
    if (total === undefined || available === undefined) {
      throw new VmRunnerError('host-unsupported', 'memory of this host cannot be measured', {
        subject: '/proc/meminfo',
        hint: 'Run vm-runner on Linux 3.14 or newer with /proc mounted.',
      });
    }
    return this.#groups().reduce(
      (least, group) => ({
        total: Math.min(least.total, group.total),
        available: Math.min(least.available, group.available),
      }),
      { total, available },
    );
  }

  usedBy(pid: number): number {
    const text = this.#read(`/proc/${pid}/status`);
    // A clone maps its template's memory: what it has not changed is cache, which the host takes back when it must.
    return (kibibytes(text, 'RssAnon') ?? 0) + (kibibytes(text, 'RssShmem') ?? 0);
  }

  /** Each group from our own up to the top that has a limit: all of them hold. */
  #groups(): MemoryReading[] {
    const own = /^0::(\/.*)$/m.exec(this.#read('/proc/self/cgroup') ?? '')?.[1];
    const readings: MemoryReading[] = [];
    for (let group = own; group !== undefined; group = group === '/' ? undefined : path.posix.dirname(group)) {
      const at = (file: string): string | undefined => this.#read(path.posix.join(CGROUPS, group ?? '', file));
      // `max` is no limit.
      const total = Number(at('memory.max') ?? NaN);
      const current = Number(at('memory.current') ?? NaN);
      if (!Number.isFinite(total) || !Number.isFinite(current)) continue;
      const cache = Number(/^inactive_file (\d+)$/m.exec(at('memory.stat') ?? '')?.[1] ?? 0);
      readings.push({ total, available: Math.max(0, total - current + cache) });
    }
    return readings;
  }
}
