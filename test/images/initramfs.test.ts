import { expect, it } from 'vitest';

import { buildInitramfs } from '../../src/images/initramfs.js';

it('has the agent as /init, the modules with their order, a console and the places to mount at', () => {
  const archive = buildInitramfs(Buffer.from('AGENT'), [
    { name: 'virtio_ring.ko', data: Buffer.from('RING') },
    { name: 'virtio.ko', data: Buffer.from('VIRTIO') },
  ]).toString('latin1');
  const names = [...archive.matchAll(/070701[0-9a-f]{104}([^\0]+)\0/g)].map((match) => match[1]);
  expect(names).toEqual([
    ...['base', 'dev', 'etc', 'etc/vm-agent', 'image', 'lib', 'lib/modules', 'lower', 'proc', 'root', 'run', 'scratch'],
    ...['sys', 'tmp'],
    'dev/console',
    'init',
    'etc/vm-agent/modules',
    'lib/modules/virtio_ring.ko',
    'lib/modules/virtio.ko',
    'TRAILER!!!',
  ]);
  expect(archive).toContain('virtio_ring.ko\nvirtio.ko\n');
  expect(archive).toContain('AGENT');
});
