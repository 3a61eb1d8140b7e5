import { describe, expect, it } from 'vitest';

import { EMPTY_CONFIG } from '../../../src/images/image.js';
import { templateKey, type TemplateMachine } from '../../../src/providers/qemu/template-key.js';

const BASE = {
  digest: 'sha256:base',
  kernel: '/s/kernel',
  initramfs: '/s/initramfs',
  scratch: '/s/scratch.ext4',
  root: { reference: 'default', digest: 'sha256:root', disk: '/s/root.vmdk', diskBytes: 1, config: EMPTY_CONFIG },
};
const MACHINE: TemplateMachine = {
  qemu: { binary: 'qemu', version: 'QEMU emulator version 7.2.0', identity: '/usr/bin/qemu 1 2 3 4' },
  acceleration: 'tcg',
  cpus: 1,
  memoryMiB: 512,
  base: BASE,
};
const CPU = { model: 'a processor', digest: 'abc' };
const KEY = templateKey(MACHINE, CPU, '6.1.0');

describe('templateKey', () => {
  it('is a name for a directory, the same each time', () => {
    expect(KEY).toMatch(/^[0-9a-f]{32}$/);
    expect(templateKey({ ...MACHINE }, { ...CPU }, '6.1.0')).toBe(KEY);
  });

  it.each<[string, Partial<TemplateMachine>]>([
    ['version of QEMU', { qemu: { ...MACHINE.qemu, version: 'QEMU emulator version 7.2.1' } }],
    ['build of QEMU', { qemu: { ...MACHINE.qemu, identity: '/usr/bin/qemu 1 2 3 5' } }],
    ['acceleration', { acceleration: 'kvm' }],
    ['number of processors', { cpus: 2 }],
    ['size of the memory', { memoryMiB: 513 }],
    ['base guest', { base: { ...BASE, digest: 'sha256:other' } }],
  ])('is another one for another %s', (_what, change) => {
    expect(templateKey({ ...MACHINE, ...change }, CPU, '6.1.0')).not.toBe(KEY);
  });

  it('is another one for another processor, and under hardware acceleration for another kernel of the host', () => {
    expect(templateKey(MACHINE, { ...CPU, digest: 'abd' }, '6.1.0')).not.toBe(KEY);
    expect(templateKey(MACHINE, CPU, '6.2.0')).toBe(KEY);
    const kvm = { ...MACHINE, acceleration: 'kvm' } as const;
    expect(templateKey(kvm, CPU, '6.2.0')).not.toBe(templateKey(kvm, CPU, '6.1.0'));
  });

  it('does not depend on where files are, nor on how QEMU is called', () => {
    const moved = {
      ...BASE,
      kernel: '/t/kernel',
      initramfs: '/t/i',
      scratch: '/t/s',
      root: { ...BASE.root, disk: '/t/r' },
    };
    expect(
      templateKey({ ...MACHINE, base: moved, qemu: { ...MACHINE.qemu, binary: '/usr/bin/qemu' } }, CPU, '6.1.0'),
    ).toBe(KEY);
  });
});
