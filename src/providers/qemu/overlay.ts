import { open } from 'node:fs/promises';
import path from 'node:path';

import { fileError } from '../../core/errors.js';

const CLUSTER_BITS = 16;
const CLUSTER = 1 << CLUSTER_BITS;
const HEADER_LENGTH = 104;
const BACKING_FORMAT = 0xe2792aca;
/** One entry of the first-level table maps a second-level table of clusters. */
const BYTES_PER_L1_ENTRY = CLUSTER * (CLUSTER / 8);

/**
 * Makes the writable disk of a VM: an empty qcow2 file over a raw image that nobody writes to.
 *
 * Written here and not by `qemu-img`, which takes longer than all the rest of starting QEMU. The image is named relative to
 * the overlay, so that a store can be moved.
 */
export async function makeOverlay(overlay: string, image: string): Promise<void> {
  try {
    const source = await open(image, 'r');
    const { size } = await source.stat().finally(() => source.close());
    const backing = path.relative(path.dirname(overlay), image);
    const target = await open(overlay, 'wx', 0o600);
    try {
      await target.writeFile(overlayMetadata(size, backing));
    } finally {
      await target.close();
    }
  } catch (cause) {
    throw fileError('make the disk of a VM', overlay, cause);
  }
}

/**
 * The bytes of an empty qcow2 (version 3) file: header, refcount table, one refcount block, first-level table, a cluster
 * each. https://www.qemu.org/docs/master/interop/qcow2.html
 */
export function overlayMetadata(virtualSize: number, backing: string): Buffer {
  const name = Buffer.from(backing);
  const l1Entries = Math.ceil(virtualSize / BYTES_PER_L1_ENTRY);
  const l1Clusters = Math.max(1, Math.ceil((l1Entries * 8) / CLUSTER));
  const used = 3 + l1Clusters;
  const bytes = Buffer.alloc(used * CLUSTER);

  const format = Buffer.from('raw\0\0\0\0\0');
  const nameOffset = HEADER_LENGTH + 8 + format.length + 8;
  bytes.write('QFI\xfb', 0, 'latin1');
  bytes.writeUInt32BE(3, 4);
  bytes.writeBigUInt64BE(BigInt(nameOffset), 8);
  bytes.writeUInt32BE(name.length, 16);
  bytes.writeUInt32BE(CLUSTER_BITS, 20);
  bytes.writeBigUInt64BE(BigInt(virtualSize), 24);
  bytes.writeUInt32BE(l1Entries, 36);
  bytes.writeBigUInt64BE(BigInt(3 * CLUSTER), 40);
  bytes.writeBigUInt64BE(BigInt(CLUSTER), 48);
  bytes.writeUInt32BE(1, 56);
  // Refcounts of 2^4 bits.
  bytes.writeUInt32BE(4, 96);
  bytes.writeUInt32BE(HEADER_LENGTH, 100);
  bytes.writeUInt32BE(BACKING_FORMAT, HEADER_LENGTH);
  bytes.writeUInt32BE('raw'.length, HEADER_LENGTH + 4);
  format.copy(bytes, HEADER_LENGTH + 8);
  name.copy(bytes, nameOffset);

  bytes.writeBigUInt64BE(BigInt(2 * CLUSTER), CLUSTER);
  for (let cluster = 0; cluster < used; cluster += 1) bytes.writeUInt16BE(1, 2 * CLUSTER + 2 * cluster);
  return bytes;
}
