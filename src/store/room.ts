import { VmRunnerError } from '../core/errors.js';
import { formatCount, formatSize } from '../core/units.js';

/** What a VM takes of its host. */
export interface Demand {
  readonly cpus: number;
  readonly memoryMiB: number;
  /** The most that its own disk may become. */
  readonly diskMiB: number;
}

/** What all VMs of a store may have together. Absent: see {@link Room}. */
export interface RoomLimits {
  readonly vms?: number | undefined;
  readonly cpus?: number | undefined;
  readonly memoryMiB?: number | undefined;
  readonly diskMiB?: number | undefined;
  readonly keepFreeMemoryMiB: number;
  readonly keepFreeDiskMiB: number;
}

/** What is promised to the VMs that are there and to those that are about to be. */
export interface Held extends Demand {
  readonly vms: number;
  /** Memory that may still be taken without anybody asking again. */
  readonly unusedMemoryMiB: number;
  /** VMs whose records do not say what they have: they count as VMs only. */
  readonly unknown: readonly string[];
}

/** Of this host, as measured now. */
export interface Measured {
  readonly totalMemoryMiB: number;
  readonly availableMemoryMiB: number;
  readonly freeDiskMiB: number;
}

/** What there is too little of. */
export interface Shortage {
  readonly of: 'VMs' | 'processors' | 'memory' | 'disk';
  /** `needs 2 GiB of memory, 1.2 GiB of 21 GiB are free`. */
  readonly text: string;
}

/** What a VM surely writes: one that finds less fails in the middle of its job, with errors that nobody understands. */
const NEW_VM_DISK_MIB = 1024;

/**
 * How much more a VM is believed to take of measured memory where an operator promises more than there is. VMs that were just
 * admitted have taken nothing yet: without this, twenty of them would pass on one measurement.
 */
const GROWTH_MIB = 512;

/**
 * Whether there is room for one more VM. Two gates: what was promised, against the limits; and what is measured, against
 * what must stay free.
 *
 * Promises are the main gate, because a guest takes its memory long after it was admitted. Without a limit of the operator's
 * they may be all memory less `keepFreeMemoryMiB`, and then all that VMs have not taken yet counts as gone: nothing is
 * promised twice, and what other programs take is respected. A limit of the operator's may be more than the host has, since most
 * guests never touch what they ask for: then the measure is only a safety net, with {@link GROWTH_MIB} for each VM.
 */
export function shortageOf(limits: RoomLimits, held: Held, measured: Measured, demand: Demand): Shortage | undefined {
  if (limits.vms !== undefined && held.vms + 1 > limits.vms) {
    return { of: 'VMs', text: `needs one more VM, ${held.vms} of ${limits.vms} are there` };
  }
  if (limits.cpus !== undefined && held.cpus + demand.cpus > limits.cpus) {
    const free = Math.max(0, limits.cpus - held.cpus);
    return {
      of: 'processors',
      text: `needs ${formatCount(demand.cpus, 'processor')}, ${free} of ${limits.cpus} are free`,
    };
  }
  return memoryShortage(limits, held, measured, demand) ?? diskShortage(limits, held, measured, demand);
}

function memoryShortage(limits: RoomLimits, held: Held, measured: Measured, demand: Demand): Shortage | undefined {
  const most = mostMemoryMiB(limits, measured);
  if (held.memoryMiB + demand.memoryMiB > most) {
    return { of: 'memory', text: lacking(demand.memoryMiB, 'memory', most - held.memoryMiB, most) };
  }
  const soon = limits.memoryMiB === undefined ? demand.memoryMiB : Math.min(demand.memoryMiB, GROWTH_MIB);
  const free = measured.availableMemoryMiB - held.unusedMemoryMiB - limits.keepFreeMemoryMiB;
  if (soon <= free) return undefined;
  const text = `needs ${mebibytes(soon)} of memory that is really free, and there are ${atLeast(free)} besides the ${mebibytes(limits.keepFreeMemoryMiB)} that stay free`;
  return { of: 'memory', text };
}

function diskShortage(limits: RoomLimits, held: Held, measured: Measured, demand: Demand): Shortage | undefined {
  if (limits.diskMiB !== undefined && held.diskMiB + demand.diskMiB > limits.diskMiB) {
    const free = limits.diskMiB - held.diskMiB;
    return { of: 'disk', text: lacking(demand.diskMiB, 'disk', free, limits.diskMiB) };
  }
  if (measured.freeDiskMiB >= limits.keepFreeDiskMiB + NEW_VM_DISK_MIB) return undefined;
  const text = `needs ${mebibytes(NEW_VM_DISK_MIB)} of disk besides the ${mebibytes(limits.keepFreeDiskMiB)} that stay free, ${atLeast(measured.freeDiskMiB)} are free`;
  return { of: 'disk', text };
}

/** Of what was promised to one VM, that which it may still take of measured memory. */
export function unusedMemoryMiB(limits: RoomLimits, promisedMiB: number, usedMiB: number): number {
  const unused = Math.max(0, promisedMiB - usedMiB);
  return limits.memoryMiB === undefined ? unused : Math.min(unused, GROWTH_MIB);
}

/** What may be promised to all VMs together. */
export function mostMemoryMiB(limits: RoomLimits, { totalMemoryMiB }: Pick<Measured, 'totalMemoryMiB'>): number {
  return limits.memoryMiB ?? Math.max(0, totalMemoryMiB - limits.keepFreeMemoryMiB);
}

/**
 * Whoever asks for more than there will ever be must not wait for it, and it is their mistake.
 * @throws not-allowed when the operator's limits are lower, invalid-input when this host is smaller.
 */
export function requirePossible(limits: RoomLimits, measured: Measured, demand: Demand): void {
  const refuse = (what: string, asked: string, most: string): never => {
    throw new VmRunnerError('not-allowed', `more ${what} than all VMs of this host may have together`, {
      subject: asked,
      hint: `The host file allows ${most}. Ask for less, or have its operator raise the limit.`,
    });
  };
  if (limits.vms === 0) refuse('VMs', '1', '0');
  if (limits.cpus !== undefined && demand.cpus > limits.cpus) {
    refuse('processors', String(demand.cpus), String(limits.cpus));
  }
  if (limits.diskMiB !== undefined && demand.diskMiB > limits.diskMiB) {
    refuse('disk', mebibytes(demand.diskMiB), mebibytes(limits.diskMiB));
  }
  if (limits.memoryMiB !== undefined) {
    if (demand.memoryMiB > limits.memoryMiB) refuse('memory', mebibytes(demand.memoryMiB), mebibytes(limits.memoryMiB));
    return;
  }
  const most = mostMemoryMiB(limits, measured);
  if (demand.memoryMiB <= most) return;
  throw new VmRunnerError('invalid-input', 'more memory than this host has for VMs', {
    subject: mebibytes(demand.memoryMiB),
    hint: `It has ${mebibytes(measured.totalMemoryMiB)}, of which ${mebibytes(limits.keepFreeMemoryMiB)} stay free. Ask for at most ${Math.floor(most)}M.`,
  });
}

function lacking(needMiB: number, what: string, freeMiB: number, mostMiB: number): string {
  return `needs ${mebibytes(needMiB)} of ${what}, ${atLeast(freeMiB)} of ${mebibytes(mostMiB)} are free`;
}

/** Rounded down: what is too little must not look like enough. */
function atLeast(mib: number): string {
  const step = mib < 1024 ? 1 : 1024 / 10;
  return mebibytes(Math.max(0, Math.floor(mib / step) * step));
}

function mebibytes(mib: number): string {
  return formatSize(mib * 2 ** 20);
}
