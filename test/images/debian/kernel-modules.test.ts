import { describe, expect, it } from 'vitest';

import { VmRunnerError } from '../../../src/core/errors.js';
import { moduleLoadOrder } from '../../../src/images/debian/kernel-modules.js';

const DEPENDENCIES = `kernel/drivers/virtio/virtio.ko: kernel/drivers/virtio/virtio_ring.ko
kernel/drivers/virtio/virtio_ring.ko:
kernel/drivers/virtio/virtio_pci.ko: kernel/drivers/virtio/virtio.ko kernel/drivers/virtio/virtio_ring.ko
kernel/drivers/net/virtio-net.ko.xz: kernel/drivers/net/net_failover.ko kernel/net/core/failover.ko kernel/drivers/virtio/virtio.ko kernel/drivers/virtio/virtio_ring.ko
kernel/drivers/net/net_failover.ko: kernel/net/core/failover.ko
kernel/net/core/failover.ko:
`;
const BUILTIN = 'kernel/fs/ext4/ext4.ko\n';

describe('moduleLoadOrder', () => {
  it('puts what a module depends on before it, each once', () => {
    expect(moduleLoadOrder(['virtio_pci', 'virtio_net'], DEPENDENCIES, BUILTIN)).toEqual([
      'kernel/drivers/virtio/virtio_ring.ko',
      'kernel/drivers/virtio/virtio.ko',
      'kernel/drivers/virtio/virtio_pci.ko',
      'kernel/net/core/failover.ko',
      'kernel/drivers/net/net_failover.ko',
      'kernel/drivers/net/virtio-net.ko.xz',
    ]);
  });

  it('leaves out what is built into the kernel', () => {
    expect(moduleLoadOrder(['ext4'], DEPENDENCIES, BUILTIN)).toEqual([]);
  });

  it('names the module that the kernel does not have', () => {
    const look = (): unknown => moduleLoadOrder(['virtio_blk'], DEPENDENCIES, BUILTIN);
    expect(look).toThrow(VmRunnerError);
    expect(look).toThrow('the kernel of the default image lacks a module: virtio_blk');
  });
});
