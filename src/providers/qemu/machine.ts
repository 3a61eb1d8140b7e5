import type { NetworkPolicy } from '../../core/job.js';
import type { VmPaths } from '../../store/paths.js';
import { diskArguments, type DiskFiles } from './disks.js';

/** What makes guest code run: the processor's own support, or emulation of it in software. */
export type Acceleration = 'kvm' | 'tcg';

/** What the memory of a guest is made of. */
export type Memory =
  | { readonly kind: 'own' }
  /**
   * A file: `shared`, what the guest writes goes into it; `private`, it stays with this guest. QEMU opens the file to write in
   * both cases, but not when it is `private-read-only`, which QEMU knows since 8.2.
   */
  | { readonly kind: 'file'; readonly path: string; readonly access: 'shared' | 'private' | 'private-read-only' };

/** How a guest begins: with its kernel, or where a saved one was, which the control socket is told. */
export type Start = { readonly kernel: string; readonly initramfs: string } | 'incoming';

/** Everything that a virtual machine is made of. */
export interface MachineSpec {
  readonly binary: string;
  readonly name: string;
  readonly acceleration: Acceleration;
  readonly cpus: number;
  readonly memoryMiB: number;
  readonly memory: Memory;
  readonly network: NetworkPolicy;
  readonly disks: DiskFiles;
  readonly start: Start;
  readonly paths: Pick<VmPaths, 'console' | 'events' | 'qmp' | 'agents' | 'smolvm'>;
}

/**
 * The kernel's arguments: a quiet and quick boot that ends QEMU when the guest reboots or panics. No hints about the
 * processor's clock: on this machine type they make the guest's clock wrong.
 */
export const KERNEL_LINE = [
  'quiet',
  'reboot=t',
  'panic=-1',
  'cryptomgr.notests',
  'random.trust_cpu=on',
  'mitigations=off',
  'audit=0',
  'nokaslr',
  'net.ifnames=0',
  'rcupdate.rcu_expedited=1',
  'console=ttyS0',
].join(' ');

/** Of all VMs: each is alone in its network. */
const MAC_ADDRESS = '52:54:00:12:34:56';

/** System calls that QEMU does not need are denied to whoever breaks out of a guest into it. */
export const SANDBOX_ARGUMENTS = [
  '-sandbox',
  'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny',
] as const;

/** The argument of those QEMUs that write down what they tell by themselves. */
export const EVENTS_MONITOR = 'chardev=events0,mode=control';

/** Machine and processor, without any device that is not asked for. */
export function baseArguments(acceleration: Acceleration, cpus: number, memoryMiB: number): string[] {
  return [
    ...['-machine', 'q35,sata=off,smbus=off,usb=off'],
    ...['-accel', acceleration],
    // A guest that believes in fast string operations copies byte by byte, and emulation does each of them by itself.
    ...['-cpu', acceleration === 'kvm' ? 'host' : 'max,-erms'],
    ...['-smp', String(cpus)],
    ...['-m', `${memoryMiB}M`],
    ...['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot'],
    ...SANDBOX_ARGUMENTS,
  ];
}

/** The command line of QEMU for a VM. A VM that is saved and its clones differ only in files, in the network and in the start. */
export function qemuArguments(spec: MachineSpec): string[] {
  const { paths } = spec;
  return [
    spec.binary,
    ...['-name', `vm-runner-${spec.name}`],
    ...baseArguments(spec.acceleration, spec.cpus, spec.memoryMiB),
    ...memoryArguments(spec.memory, spec.memoryMiB),
    ...['-chardev', `file,id=console0,path=${escaped(paths.console)},append=on`, '-serial', 'chardev:console0'],
    ...['-qmp', qmpArgument(paths.qmp)],
    // A second one that nobody needs to be connected to, for what is to be known after QEMU has ended.
    ...['-chardev', `pipe,id=events0,path=${escaped(paths.events.replace(/\.out$/, ''))}`],
    ...['-mon', EVENTS_MONITOR],
    ...['-device', 'virtio-serial-pci,id=ports'],
    ...paths.agents.flatMap((socket, index) => port(`agent.${index}`, socket)),
    ...port('smolvm.0', paths.smolvm),
    ...diskArguments(spec.disks),
    // The device is there in any case, so that guests of all policies are the same; only its other end differs.
    ...['-netdev', spec.network === 'open' ? 'user,id=net0,ipv6=off' : 'hubport,id=net0,hubid=0'],
    ...['-device', `virtio-net-pci,netdev=net0,mac=${MAC_ADDRESS},romfile=`],
    ...startArguments(spec.start),
  ];
}

/** The argument that names a VM's control socket; no other process has it. */
export function qmpArgument(socket: string): string {
  return `unix:${escaped(socket)},server=on,wait=off`;
}

function memoryArguments(memory: Memory, memoryMiB: number): string[] {
  const size = `id=memory,size=${memoryMiB}M`;
  const object =
    memory.kind === 'own'
      ? `memory-backend-ram,${size}`
      : `memory-backend-file,${size},mem-path=${escaped(memory.path)},${MEMORY_ACCESS[memory.access]}`;
  return ['-object', object, '-machine', 'memory-backend=memory'];
}

/** https://www.qemu.org/docs/master/system/vm-templating.html */
const MEMORY_ACCESS = {
  shared: 'share=on',
  private: 'share=off',
  'private-read-only': 'share=off,readonly=on,rom=off',
} as const;

function startArguments(start: Start): string[] {
  if (start === 'incoming') return ['-incoming', 'defer'];
  return ['-kernel', start.kernel, '-initrd', start.initramfs, '-append', KERNEL_LINE];
}

function port(name: string, socket: string): string[] {
  const id = name.replace('.', '');
  return [
    ...['-chardev', `socket,id=${id},path=${escaped(socket)},server=on,wait=off`],
    ...['-device', `virtserialport,bus=ports.0,chardev=${id},name=vm-runner.${name}`],
  ];
}

/** A value in QEMU's `key=value,…` lists, where a comma ends it unless it is doubled. */
function escaped(value: string): string {
  return value.replaceAll(',', ',,');
}
