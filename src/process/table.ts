import { readFileSync } from 'node:fs';

import { systemCode, VmRunnerError } from '../core/errors.js';
import type { ProcessIdentity, ProcessTable } from '../core/process-identity.js';
import { statFields } from './kernel-file.js';

/** The process table of this Linux host, read from /proc. */
export class LinuxProcessTable implements ProcessTable {
  readonly #bootId: string;
  readonly self: ProcessIdentity;

  /** @throws host-unsupported where there is no /proc. */
  constructor() {
    try {
      this.#bootId = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
    } catch (cause) {
      throw new VmRunnerError('host-unsupported', 'this operating system is not supported yet', {
        subject: process.platform,
        hint: 'Run vm-runner on Linux with /proc mounted.',
        cause,
      });
    }
    const self = this.identify(process.pid);
    if (self === undefined) throw new VmRunnerError('internal', 'the own process is missing in /proc');
    this.self = self;
  }

  identify(pid: number): ProcessIdentity | undefined {
    const fields = statOf(pid);
    const state = fields?.[0];
    const startTime = fields?.[19];
    // A zombie is a dead process whose parent has not asked yet.
    if (startTime === undefined || state === 'Z' || state === 'X') return undefined;
    return { pid, startTime, bootId: this.#bootId };
  }

  isAlive(identity: ProcessIdentity): boolean {
    return identity.bootId === this.#bootId && this.identify(identity.pid)?.startTime === identity.startTime;
  }
}

/** Who may not be looked at is not gone, and so no case for readKernelFile. */
function statOf(pid: number): readonly string[] | undefined {
  try {
    return statFields(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch (error) {
    const code = systemCode(error);
    if (code === 'ENOENT' || code === 'ESRCH') return undefined;
    throw error;
  }
}
