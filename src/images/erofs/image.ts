import { createHash } from 'node:crypto';

import { BLOCK_BYTES, layerError } from '../layer/limits.js';
import type { Node } from '../merge/tree.js';
import { writeBlock } from './directory.js';
import { collectInodes, INODE_BYTES, type Inode } from './inode.js';
import { xattrCount } from './xattrs.js';

// https://docs.kernel.org/filesystems/erofs.html; all features off, so that any kernel with EROFS mounts it.
const SUPERBLOCK_AT = 1024;
const SUPERBLOCK_BYTES = 128;
const MAGIC = 0xe0f5e1e2;
const BLOCK_BITS = 12;
/** Inodes are counted in these from the start of the image. */
const SLOT_BYTES = 32;
const EXTENDED = 1;
const LAYOUT_PLAIN = 0;
const LAYOUT_INLINE = 2;
const MODE_BITS = {
  file: 0o100000,
  directory: 0o040000,
  symlink: 0o120000,
  'character-device': 0o020000,
  'block-device': 0o060000,
  fifo: 0o010000,
} as const;

export interface ErofsMetadata {
  /** A multiple of blocks; the data of the layers goes behind it. */
  readonly bytes: Buffer;
  /** Blocks with the data of the layers. */
  readonly totalBlocks: number;
}

/**
 * An EROFS image of a tree, all but the bytes of its files: those are behind it, the data of one layer after the other, as
 * if they were parts of one disk.
 *
 * @param dataBlocks how many blocks the data of each layer has
 * @throws image-invalid for what EROFS cannot hold.
 */
export function erofsMetadata(root: Node, dataBlocks: readonly number[]): ErofsMetadata {
  const inodes = collectInodes(root);
  const metadataBlocks = placeInodes(inodes);
  const firstBlocks: number[] = [];
  let totalBlocks = metadataBlocks;
  for (const blocks of dataBlocks) {
    firstBlocks.push(totalBlocks);
    totalBlocks += blocks;
  }
  if (totalBlocks >= 2 ** 32) throw layerError('image of more than 16 TiB');
  const bytes = Buffer.alloc(metadataBlocks * BLOCK_BYTES);
  for (const inode of inodes) writeInode(bytes, inode, firstBlocks);
  writeSuperblock(bytes, inodes, totalBlocks);
  return { bytes, totalBlocks };
}

/** Gives each inode its place; no inode with what stands behind it crosses a block. @returns blocks with those of directories */
function placeInodes(inodes: readonly Inode[]): number {
  let at = SUPERBLOCK_AT + SUPERBLOCK_BYTES;
  for (const inode of inodes) {
    const head = INODE_BYTES + inode.xattrs.length;
    inode.isInline = hasContent(inode) && head + inode.size <= BLOCK_BYTES;
    const length = inode.isInline ? head + inode.size : head;
    if ((at % BLOCK_BYTES) + length > BLOCK_BYTES) at = roundUp(at, BLOCK_BYTES);
    inode.nid = at / SLOT_BYTES;
    at = roundUp(at + length, SLOT_BYTES);
  }
  let block = roundUp(at, BLOCK_BYTES) / BLOCK_BYTES;
  for (const inode of inodes) {
    if (!hasContent(inode) || inode.isInline) continue;
    inode.firstBlock = block;
    block += Math.ceil(inode.size / BLOCK_BYTES);
  }
  return block;
}

/** Whether what it holds is here, and not in a layer. */
function hasContent({ node }: Inode): boolean {
  return node.kind === 'directory' || node.kind === 'symlink';
}

function roundUp(value: number, unit: number): number {
  return Math.ceil(value / unit) * unit;
}

function writeInode(bytes: Buffer, inode: Inode, firstBlocks: readonly number[]): void {
  const { node } = inode;
  const at = inode.nid * SLOT_BYTES;
  bytes.writeUInt16LE(EXTENDED | ((inode.isInline ? LAYOUT_INLINE : LAYOUT_PLAIN) << 1), at);
  bytes.writeUInt16LE(xattrCount(inode.xattrs), at + 2);
  bytes.writeUInt16LE(MODE_BITS[node.kind] | node.mode, at + 4);
  bytes.writeBigUInt64LE(BigInt(inode.size), at + 8);
  bytes.writeUInt32LE(blockOrDevice(inode, firstBlocks), at + 16);
  bytes.writeUInt32LE(inode.number, at + 20);
  bytes.writeUInt32LE(node.uid, at + 24);
  bytes.writeUInt32LE(node.gid, at + 28);
  bytes.writeBigInt64LE(BigInt(node.seconds), at + 32);
  bytes.writeUInt32LE(node.nanoseconds, at + 40);
  bytes.writeUInt32LE(inode.links, at + 44);
  inode.xattrs.copy(bytes, at + INODE_BYTES);
  const contentAt = inode.isInline ? at + INODE_BYTES + inode.xattrs.length : inode.firstBlock * BLOCK_BYTES;
  if (node.kind === 'symlink') bytes.write(node.target, contentAt, 'latin1');
  inode.blocks.forEach((entries, index) => writeBlock(bytes, contentAt + index * BLOCK_BYTES, entries));
}

function blockOrDevice({ node, size, firstBlock }: Inode, firstBlocks: readonly number[]): number {
  switch (node.kind) {
    case 'file':
      return size === 0 ? 0 : (firstBlocks[node.layer] ?? 0) + node.block;
    case 'character-device':
    case 'block-device':
      return ((node.minor & 0xff) | (node.major << 8) | ((node.minor & ~0xff) << 12)) >>> 0;
    default:
      return firstBlock;
  }
}

function writeSuperblock(bytes: Buffer, inodes: readonly Inode[], totalBlocks: number): void {
  const at = SUPERBLOCK_AT;
  bytes.writeUInt32LE(MAGIC, at);
  bytes.writeUInt8(BLOCK_BITS, at + 12);
  bytes.writeUInt16LE(inodes[0]?.nid ?? 0, at + 14);
  bytes.writeBigUInt64LE(BigInt(inodes.length), at + 16);
  bytes.writeUInt32LE(totalBlocks, at + 36);
  // Of what it describes, so that equal images are equal bytes.
  createHash('sha256')
    .update(bytes)
    .digest()
    .copy(bytes, at + 48, 0, 16);
}
