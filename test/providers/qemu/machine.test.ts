import { describe, expect, it } from 'vitest';

import { qemuArguments, qmpArgument, type MachineSpec } from '../../../src/providers/qemu/machine.js';
import { storePaths, vmPaths } from '../../../src/store/paths.js';

const SPEC: MachineSpec = {
  binary: 'qemu-system-x86_64',
  name: 'vm-1',
  acceleration: 'tcg',
  cpus: 1,
  memoryMiB: 2048,
  memory: { kind: 'own' },
  network: 'open',
  disks: {
    scratch: '/s/vms/vm-1/disk.qcow2',
    base: { vmdk: '/s/images/b/root.vmdk' },
    image: '/s/images/i/root.vmdk',
    emptySlot: '/s/empty-slot.qcow2',
  },
  start: { kernel: '/s/images/r/vmlinuz', initramfs: '/s/images/i/initramfs.cpio' },
  paths: vmPaths(storePaths('/s'), 'vm-1'),
};

/** One flag a line. */
function lines(spec: MachineSpec): string[] {
  return qemuArguments(spec)
    .join(' ')
    .split(/ (?=-)/);
}

const emptySlot = (slot: number): string =>
  `-blockdev {"node-name":"slot${slot}","driver":"qcow2","read-only":true,` +
  '"file":{"driver":"file","filename":"/s/empty-slot.qcow2","locking":"off"}}';

const GOLDEN = [
  'qemu-system-x86_64',
  '-name vm-runner-vm-1',
  '-machine q35,sata=off,smbus=off,usb=off',
  '-accel tcg',
  '-cpu max,-erms',
  '-smp 1',
  '-m 2048M',
  '-nodefaults',
  '-no-user-config',
  '-display none',
  '-no-reboot',
  '-sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny',
  '-object memory-backend-ram,id=memory,size=2048M',
  '-machine memory-backend=memory',
  '-chardev file,id=console0,path=/s/vms/vm-1/console.log,append=on',
  '-serial chardev:console0',
  '-qmp unix:/s/vms/vm-1/qmp,server=on,wait=off',
  '-chardev pipe,id=events0,path=/s/vms/vm-1/events',
  '-mon chardev=events0,mode=control',
  '-device virtio-serial-pci,id=ports',
  '-chardev socket,id=agent0,path=/s/vms/vm-1/agent.0,server=on,wait=off',
  '-device virtserialport,bus=ports.0,chardev=agent0,name=vm-runner.agent.0',
  '-chardev socket,id=agent1,path=/s/vms/vm-1/agent.1,server=on,wait=off',
  '-device virtserialport,bus=ports.0,chardev=agent1,name=vm-runner.agent.1',
  '-chardev socket,id=agent2,path=/s/vms/vm-1/agent.2,server=on,wait=off',
  '-device virtserialport,bus=ports.0,chardev=agent2,name=vm-runner.agent.2',
  '-chardev socket,id=agent3,path=/s/vms/vm-1/agent.3,server=on,wait=off',
  '-device virtserialport,bus=ports.0,chardev=agent3,name=vm-runner.agent.3',
  '-chardev socket,id=smolvm0,path=/s/vms/vm-1/smolvm,server=on,wait=off',
  '-device virtserialport,bus=ports.0,chardev=smolvm0,name=vm-runner.smolvm.0',
  '-blockdev {"node-name":"scratch","driver":"qcow2","discard":"unmap","cache":{"no-flush":true},' +
    '"file":{"driver":"file","filename":"/s/vms/vm-1/disk.qcow2","discard":"unmap"}}',
  '-device virtio-blk-pci,drive=scratch,serial=scratch',
  '-blockdev {"node-name":"slot0","driver":"vmdk","read-only":true,' +
    '"file":{"driver":"file","filename":"/s/images/b/root.vmdk"}}',
  '-device virtio-blk-pci,drive=slot0,serial=slot0',
  '-blockdev {"node-name":"slot1","driver":"vmdk","read-only":true,' +
    '"file":{"driver":"file","filename":"/s/images/i/root.vmdk"}}',
  '-device virtio-blk-pci,drive=slot1,serial=slot1',
  ...[2, 3, 4, 5, 6, 7, 8].flatMap((slot) => [
    emptySlot(slot),
    `-device virtio-blk-pci,drive=slot${slot},serial=slot${slot}`,
  ]),
  '-netdev user,id=net0,ipv6=off',
  '-device virtio-net-pci,netdev=net0,mac=52:54:00:12:34:56,romfile=',
  '-kernel /s/images/r/vmlinuz',
  '-initrd /s/images/i/initramfs.cpio',
  '-append quiet reboot=t panic=-1 cryptomgr.notests random.trust_cpu=on mitigations=off audit=0 nokaslr' +
    ' net.ifnames=0 rcupdate.rcu_expedited=1 console=ttyS0',
];

const replaced = (changes: Readonly<Record<string, string>>): string[] => GOLDEN.map((line) => changes[line] ?? line);

describe('qemuArguments', () => {
  it('is this under software emulation with the open network', () => {
    expect(lines(SPEC)).toEqual(GOLDEN);
  });

  it('differs with hardware acceleration only in what runs the guest', () => {
    expect(lines({ ...SPEC, acceleration: 'kvm', cpus: 2 })).toEqual(
      replaced({ '-accel tcg': '-accel kvm', '-cpu max,-erms': '-cpu host', '-smp 1': '-smp 2' }),
    );
  });

  it('gives a guest without a network the same device, with nothing at its other end', () => {
    expect(lines({ ...SPEC, network: 'none' })).toEqual(
      replaced({ '-netdev user,id=net0,ipv6=off': '-netdev hubport,id=net0,hubid=0' }),
    );
  });

  it('keeps all devices when the job has no image of its own', () => {
    const image = GOLDEN.find((line) => line.includes('"slot1"')) ?? '';
    expect(lines({ ...SPEC, disks: { ...SPEC.disks, image: undefined } })).toEqual(replaced({ [image]: emptySlot(1) }));
  });

  it('differs for a guest that is to be saved only in what is behind its memory and its base root', () => {
    const memory = { kind: 'file', path: '/s/tmp/t/ram', access: 'shared' } as const;
    const disks = { ...SPEC.disks, base: { nbd: '/s/vms/vm-1/nbd' } };
    const root = GOLDEN.find((line) => line.includes('"slot0"')) ?? '';
    expect(lines({ ...SPEC, memory, disks })).toEqual(
      replaced({
        '-object memory-backend-ram,id=memory,size=2048M':
          '-object memory-backend-file,id=memory,size=2048M,mem-path=/s/tmp/t/ram,share=on',
        [root]:
          '-blockdev {"node-name":"slot0","driver":"nbd","read-only":true,' +
          '"server":{"type":"unix","path":"/s/vms/vm-1/nbd"},"export":"base"}',
      }),
    );
  });

  it.each([
    ['private', 'share=off'],
    ['private-read-only', 'share=off,readonly=on,rom=off'],
  ] as const)('gives a clone the memory of its template (%s) and no kernel', (access, how) => {
    const memory = { kind: 'file', path: '/s/templates/k/ram', access } as const;
    expect(lines({ ...SPEC, memory, start: 'incoming' })).toEqual([
      ...replaced({
        '-object memory-backend-ram,id=memory,size=2048M': `-object memory-backend-file,id=memory,size=2048M,mem-path=/s/templates/k/ram,${how}`,
      }).filter((line) => !/^-(kernel|initrd|append) /.test(line)),
      '-incoming defer',
    ]);
  });

  it('keeps paths with commas whole', () => {
    const argv = qemuArguments({ ...SPEC, paths: vmPaths(storePaths('/a,b'), 'vm-1') });
    expect(argv).toContain('socket,id=agent0,path=/a,,b/vms/vm-1/agent.0,server=on,wait=off');
    expect(argv).toContain(qmpArgument('/a,b/vms/vm-1/qmp'));
  });
});
