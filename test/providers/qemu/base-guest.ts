import { mkdir, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { EMPTY_CONFIG, type BaseGuest } from '../../../src/images/image.js';
import type { Store } from '../../../src/store/store.js';

/** Files of a guest that only a stand-in of QEMU boots. */
export async function writeBaseGuest(store: Store): Promise<BaseGuest> {
  const directory = path.join(store.paths.images, 'k');
  await mkdir(directory);
  const at = (name: string): string => path.join(directory, name);
  await writeFile(at('scratch.ext4'), '');
  await truncate(at('scratch.ext4'), 2 ** 30);
  const files = { kernel: at('vmlinuz'), initramfs: at('initramfs.cpio'), scratch: at('scratch.ext4') };
  const root = { reference: 'default', digest: 'sha256:1', disk: at('root.vmdk'), diskBytes: 0, config: EMPTY_CONFIG };
  return { digest: 'sha256:0', ...files, root };
}
