import { createHash } from 'node:crypto';
import { release } from 'node:os';

import type { BaseGuest } from '../../images/image.js';
import { storePaths, vmPaths } from '../../store/paths.js';
import type { HostCpu } from './host-cpu.js';
import type { Qemu } from './identity.js';
import { qemuArguments, type MachineSpec } from './machine.js';

/** Changes when templates are made, or loaded, in another way. */
const FORMAT = 1;

/** What a guest believes in that was saved: a clone must find all of it again. */
export interface TemplateMachine {
  readonly qemu: Qemu;
  readonly acceleration: MachineSpec['acceleration'];
  readonly cpus: number;
  readonly memoryMiB: number;
  readonly base: BaseGuest;
}

/**
 * The name of a template: a hash of everything that must be the same when it is loaded. Some differences make loading fail,
 * others make a guest that never answers, so nothing is left to the load.
 *
 * The files of the base guest are in its digest, and the machine type that `q35` stands for is in the identity of QEMU.
 */
export function templateKey(machine: TemplateMachine, cpu: HostCpu, hostKernel = release()): string {
  const { qemu, acceleration, base } = machine;
  const parts = [
    FORMAT,
    [qemu.version, qemu.identity],
    // The host's kernel decides what a guest sees of the processor.
    [acceleration, cpu.digest, acceleration === 'kvm' ? hostKernel : ''],
    base.digest,
    argumentsWithoutPaths(machine),
  ];
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 32);
}

/** The arguments as they are for every template of this machine, whatever its files are called here. */
function argumentsWithoutPaths({ acceleration, cpus, memoryMiB }: TemplateMachine): string[] {
  return qemuArguments({
    binary: 'qemu',
    name: 'template',
    ...{ acceleration, cpus, memoryMiB },
    memory: { kind: 'file', path: 'ram', access: 'shared' },
    network: 'none',
    disks: { scratch: 'scratch', base: { nbd: 'base' }, image: undefined, emptySlot: 'empty' },
    start: { kernel: 'kernel', initramfs: 'initramfs' },
    paths: vmPaths(storePaths('/'), 'template'),
  });
}
