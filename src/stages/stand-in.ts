import { stat } from 'node:fs/promises';
import path from 'node:path';

import type { BootImage } from '../images/boot-image.js';
import { EMPTY_CONFIG, type BaseGuest } from '../images/image.js';
import { writeWhole } from '../store/whole-file.js';

/** A base guest of today's default image, until there are real ones: its root is the scratch disk, and slot 0 shows it, too. */
export async function standInBaseGuest(image: BootImage): Promise<BaseGuest> {
  const { reference, digest, kernel, initramfs, rootDisk } = image;
  const disk = path.join(path.dirname(rootDisk), 'stand-in.vmdk');
  const { size } = await stat(rootDisk);
  const descriptor = [
    '# Disk DescriptorFile',
    'version=1',
    'CID=fffffffe',
    'parentCID=ffffffff',
    'createType="monolithicFlat"',
    `RW ${size / 512} FLAT "${path.basename(rootDisk)}" 0`,
    '',
  ].join('\n');
  await writeWhole(disk, descriptor);
  const root = { reference, digest, disk, diskBytes: size, config: EMPTY_CONFIG };
  return { digest, kernel, initramfs, scratch: rootDisk, root };
}
