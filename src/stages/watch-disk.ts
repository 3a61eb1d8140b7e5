import { VmRunnerError } from '../core/errors.js';
import { formatSize } from '../core/units.js';
import type { Log } from '../core/log.js';
import type { Host } from '../providers/provider.js';
import { bytesBelow, freeBytes } from '../store/disk-use.js';
import type { VmRecord } from '../store/record.js';

const MIB = 2 ** 20;
/** The part of its limit from which a VM is near it. */
const NEAR = 0.9;
/** What VMs are refused for leaves room for those that run; half of it is the end. */
const FLOOR = 0.5;

/** Looks after what a VM writes, and after the room that is left on the host. */
export class DiskWatch {
  readonly #host: Pick<Host, 'store' | 'config' | 'providerNamed'>;
  readonly #record: VmRecord;
  readonly #log: Log;
  readonly #told = new Set<string>();

  constructor(host: Pick<Host, 'store' | 'config' | 'providerNamed'>, record: VmRecord, log: Log) {
    this.#host = host;
    this.#record = record;
    this.#log = log;
  }

  /**
   * Looks once, and warns once of each thing.
   * @returns why the job must end: disk-limit or disk-full
   */
  async look(): Promise<VmRunnerError | undefined> {
    const { store, config, providerNamed } = this.#host;
    const { name, diskMiB, provider } = this.#record;
    const written = await bytesBelow(store.vms.paths(name).disk);
    const limit = diskMiB * MIB;
    if (written >= limit) return this.#overLimit(written);
    if (written >= limit * NEAR) {
      const used = `${formatSize(written)} of the ${formatSize(limit)} that it may`;
      this.#tell('near', `the VM has written ${used}: clean up, or ask for more with disk`);
    }
    const free = await freeBytes(store.paths.home);
    const { diskError } = await providerNamed(provider).report(this.#record);
    if (free < config.capacity.keepFreeDiskMiB * MIB * FLOOR || diskError === 'no-space') return hostFull(free, name);
    if (diskError !== undefined) {
      this.#tell('error', 'a disk of the VM could not be read or written on the host: the guest has I/O errors');
    }
    return undefined;
  }

  #overLimit(written: number): VmRunnerError {
    const { name, diskMiB } = this.#record;
    return new VmRunnerError(
      'disk-limit',
      `VM wrote ${formatSize(written)}, and may have ${formatSize(diskMiB * MIB)} of the host's disk`,
      { subject: name, hint: 'Clean up in the job, or ask for more with disk.' },
    );
  }

  #tell(what: string, text: string): void {
    if (this.#told.has(what)) return;
    this.#told.add(what);
    this.#log.warn(text);
  }
}

function hostFull(free: number, name: string): VmRunnerError {
  return new VmRunnerError('disk-full', `only ${formatSize(free)} are free on this host: the VM is ended`, {
    subject: name,
    hint: 'Run vm-runner gc, or move the store to a larger disk.',
  });
}
