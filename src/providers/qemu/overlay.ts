import { open, readFile, stat } from 'node:fs/promises';
import path from 'node:path';

import { fileError, systemCode } from '../../core/errors.js';
import { SCRATCH_BYTES } from '../../images/image.js';
import { writeWhole } from '../../store/whole-file.js';

const CLUSTER_BITS = 16;
const CLUSTER = 1 << CLUSTER_BITS;
const HEADER_LENGTH = 104;
const BACKING_FORMAT = 0xe2792aca;
/** One entry of the first-level table maps a second-level table of clusters. */
const BYTES_PER_L1_ENTRY = CLUSTER * (CLUSTER / 8);
/** Where the header of a qcow2 file tells the size of its disk. */
const SIZE_OFFSET = 24;

/** What an overlay lies over. */
export interface Backing {
  readonly file: string;
  readonly format: 'raw' | 'qcow2';
}

/**
 * Makes the writable disk of a VM: an empty qcow2 file over a disk that nobody writes to.
 *
 * Written here and not by `qemu-img`, which takes longer than all the rest of starting QEMU. The disk below is named relative
 * to the overlay, so that a store can be moved.
 */
export async function makeOverlay(overlay: string, backing: Backing): Promise<void> {
  try {
    const file = path.relative(path.dirname(overlay), backing.file);
    const bytes = qcow2Metadata(await diskSize(backing), { file, format: backing.format });
    const target = await open(overlay, 'wx', 0o600);
    try {
      await target.writeFile(bytes);
    } finally {
      await target.close();
    }
  } catch (cause) {
    throw fileError('make the disk of a VM', overlay, cause);
  }
}

/** Makes sure that a file is there that a slot without an image shows: an empty disk of the size that every slot promises. */
export async function ensureEmptySlot(file: string): Promise<void> {
  const wanted = qcow2Metadata(SCRATCH_BYTES);
  let found: Buffer | undefined;
  try {
    found = await readFile(file);
  } catch (cause) {
    if (systemCode(cause) !== 'ENOENT') throw fileError('read a file of the store', file, cause);
  }
  if (found === undefined || !wanted.equals(found)) await writeWhole(file, wanted, 0o444);
}

async function diskSize({ file, format }: Backing): Promise<number> {
  if (format === 'raw') return (await stat(file)).size;
  const source = await open(file, 'r');
  try {
    const { buffer } = await source.read(Buffer.alloc(8), 0, 8, SIZE_OFFSET);
    return Number(buffer.readBigUInt64BE());
  } finally {
    await source.close();
  }
}

/**
 * The bytes of an empty qcow2 (version 3) file: header, refcount table, one refcount block, first-level table, a cluster
 * each. https://www.qemu.org/docs/master/interop/qcow2.html
 */
export function qcow2Metadata(virtualSize: number, backing?: Backing): Buffer {
  const l1Entries = Math.ceil(virtualSize / BYTES_PER_L1_ENTRY);
  const l1Clusters = Math.max(1, Math.ceil((l1Entries * 8) / CLUSTER));
  const used = 3 + l1Clusters;
  const bytes = Buffer.alloc(used * CLUSTER);

  bytes.write('QFI\xfb', 0, 'latin1');
  bytes.writeUInt32BE(3, 4);
  bytes.writeUInt32BE(CLUSTER_BITS, 20);
  bytes.writeBigUInt64BE(BigInt(virtualSize), SIZE_OFFSET);
  bytes.writeUInt32BE(l1Entries, 36);
  bytes.writeBigUInt64BE(BigInt(3 * CLUSTER), 40);
  bytes.writeBigUInt64BE(BigInt(CLUSTER), 48);
  bytes.writeUInt32BE(1, 56);
  // Refcounts of 2^4 bits.
  bytes.writeUInt32BE(4, 96);
  bytes.writeUInt32BE(HEADER_LENGTH, 100);
  if (backing !== undefined) writeBacking(bytes, backing);

  bytes.writeBigUInt64BE(BigInt(2 * CLUSTER), CLUSTER);
  for (let cluster = 0; cluster < used; cluster += 1) bytes.writeUInt16BE(1, 2 * CLUSTER + 2 * cluster);
  return bytes;
}

/** The header extension that tells the format of the disk below, the empty one that ends the list, and then its name. */
function writeBacking(bytes: Buffer, { file, format }: Backing): void {
  const name = Buffer.from(file);
  const padded = Buffer.alloc(8);
  padded.write(format);
  const nameOffset = HEADER_LENGTH + 8 + padded.length + 8;
  bytes.writeBigUInt64BE(BigInt(nameOffset), 8);
  bytes.writeUInt32BE(name.length, 16);
  bytes.writeUInt32BE(BACKING_FORMAT, HEADER_LENGTH);
  bytes.writeUInt32BE(format.length, HEADER_LENGTH + 4);
  padded.copy(bytes, HEADER_LENGTH + 8);
  name.copy(bytes, nameOffset);
}
