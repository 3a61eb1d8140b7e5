import { DEFAULT_RECIPE } from '../../src/images/debian/recipe.js';
import { writeLayer } from '../support/layer-writer.js';

/** A tar with no more of a system than the base guest needs of the default image. */
export function smallDebian(): Buffer {
  const modules = 'usr/lib/modules/6.1.0-test';
  const names = ['virtio', ...DEFAULT_RECIPE.bootModules];
  return writeLayer([
    { name: './', flag: '5' },
    { name: './boot/vmlinuz', data: 'KERNEL' },
    { name: './boot/vmlinuz.version', data: '6.1.0-1\n' },
    {
      name: `./${modules}/modules.dep`,
      data: names
        .map((name) => `kernel/${name}.ko:\n`)
        .join('')
        .replace('virtio_pci.ko:', 'virtio_pci.ko: kernel/virtio.ko'),
    },
    { name: `./${modules}/modules.builtin`, data: '' },
    ...names.map((name) => ({ name: `./${modules}/kernel/${name}.ko`, data: name.toUpperCase() })),
    { name: './bin/bash', data: 'BASH', mode: 0o755 },
  ]);
}
