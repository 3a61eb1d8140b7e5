import type { NetworkPolicy } from '../../core/job.js';
import type { BootImage } from '../../images/boot-image.js';
import type { VmPaths } from '../../store/paths.js';

/** What makes guest code run: the processor's own support, or emulation of it in software. */
export type Acceleration = 'kvm' | 'tcg';

/** Everything that a virtual machine is made of. */
export interface MachineSpec {
  readonly binary: string;
  readonly name: string;
  readonly acceleration: Acceleration;
  readonly cpus: number;
  readonly memoryMiB: number;
  readonly network: NetworkPolicy;
  readonly image: BootImage;
  readonly paths: VmPaths;
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
    // System calls that QEMU does not need are denied to whoever breaks out of a guest into it.
    ...['-sandbox', 'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny'],
  ];
}

/** The command line of QEMU for a VM that boots. */
export function qemuArguments(spec: MachineSpec): string[] {
  const { paths, image } = spec;
  const file = { driver: 'file', filename: paths.disk, discard: 'unmap' };
  // The state of a VM is worth nothing after a crash of the host: a guest's fsync need not reach the disk.
  const disk = { driver: 'qcow2', 'node-name': 'disk0', discard: 'unmap', cache: { 'no-flush': true }, file };
  return [
    spec.binary,
    ...['-name', `vm-runner-${spec.name}`],
    ...baseArguments(spec.acceleration, spec.cpus, spec.memoryMiB),
    ...['-chardev', `file,id=console0,path=${escaped(paths.console)},append=on`, '-serial', 'chardev:console0'],
    ...['-qmp', qmpArgument(paths.qmp)],
    ...['-device', 'virtio-serial-pci,id=ports'],
    ...paths.agents.flatMap((socket, index) => port(`agent.${index}`, socket)),
    ...port('smolvm.0', paths.smolvm),
    ...['-blockdev', JSON.stringify(disk)],
    ...['-device', 'virtio-blk-pci,drive=disk0'],
    // The device is there in any case, so that guests of all policies are the same; only its other end differs.
    ...['-netdev', spec.network === 'open' ? 'user,id=net0,ipv6=off' : 'hubport,id=net0,hubid=0'],
    ...['-device', `virtio-net-pci,netdev=net0,mac=${MAC_ADDRESS},romfile=`],
    ...['-kernel', image.kernel],
    ...['-initrd', image.initramfs],
    ...['-append', `${KERNEL_LINE} vmagent.root=/dev/vda`],
  ];
}

/** The argument that names a VM's control socket; no other process has it. */
export function qmpArgument(socket: string): string {
  return `unix:${escaped(socket)},server=on,wait=off`;
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
