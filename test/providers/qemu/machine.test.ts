import { describe, expect, it } from 'vitest';

import { qemuArguments, qmpArgument, type MachineSpec } from '../../../src/providers/qemu/machine.js';
import { storePaths, vmPaths } from '../../../src/store/paths.js';

const SPEC: MachineSpec = {
  binary: 'qemu-system-x86_64',
  name: 'vm-1',
  acceleration: 'tcg',
  cpus: 1,
  memoryMiB: 2048,
  network: 'open',
  image: {
    reference: 'default',
    digest: 'sha256:0',
    kernel: '/s/images/r/vmlinuz',
    initramfs: '/s/images/i/initramfs.cpio',
    rootDisk: '/s/images/r/root.ext4',
  },
  paths: vmPaths(storePaths('/s'), 'vm-1'),
};

/** One flag a line. */
function lines(spec: MachineSpec): string[] {
  return qemuArguments(spec)
    .join(' ')
    .split(/ (?=-)/);
}

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
  '-chardev file,id=console0,path=/s/vms/vm-1/console.log,append=on',
  '-serial chardev:console0',
  '-qmp unix:/s/vms/vm-1/qmp,server=on,wait=off',
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
  '-blockdev {"driver":"qcow2","node-name":"disk0","discard":"unmap","cache":{"no-flush":true},' +
    '"file":{"driver":"file","filename":"/s/vms/vm-1/disk.qcow2","discard":"unmap"}}',
  '-device virtio-blk-pci,drive=disk0',
  '-netdev user,id=net0,ipv6=off',
  '-device virtio-net-pci,netdev=net0,mac=52:54:00:12:34:56,romfile=',
  '-kernel /s/images/r/vmlinuz',
  '-initrd /s/images/i/initramfs.cpio',
  '-append quiet reboot=t panic=-1 cryptomgr.notests random.trust_cpu=on mitigations=off audit=0 nokaslr' +
    ' net.ifnames=0 rcupdate.rcu_expedited=1 console=ttyS0 vmagent.root=/dev/vda',
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

  it('keeps paths with commas whole', () => {
    const argv = qemuArguments({ ...SPEC, paths: vmPaths(storePaths('/a,b'), 'vm-1') });
    expect(argv).toContain('socket,id=agent0,path=/a,,b/vms/vm-1/agent.0,server=on,wait=off');
    expect(argv).toContain(qmpArgument('/a,b/vms/vm-1/qmp'));
    expect(argv.find((argument) => argument.startsWith('{'))).toContain('"filename":"/a,b/vms/vm-1/disk.qcow2"');
  });
});
