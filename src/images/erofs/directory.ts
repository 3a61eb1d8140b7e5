import { BLOCK_BYTES } from '../layer/limits.js';
import type { Node } from '../merge/tree.js';

/** A name in a directory, and the inode that it stands for. */
export interface DirectoryEntry {
  readonly name: string;
  readonly inode: { readonly nid: number; readonly node: Node };
}

const ENTRY_BYTES = 12;
const FILE_TYPES = {
  file: 1,
  directory: 2,
  'character-device': 3,
  'block-device': 4,
  fifo: 5,
  symlink: 7,
} as const;

/** The names of a directory, in the order of their bytes, by the blocks that they fill. The last block ends with its last name. */
export function fillBlocks(entries: readonly DirectoryEntry[]): DirectoryEntry[][] {
  const sorted = [...entries].sort((a, b) => (a.name < b.name ? -1 : 1));
  const blocks: DirectoryEntry[][] = [];
  let block: DirectoryEntry[] = [];
  let used = 0;
  for (const entry of sorted) {
    const bytes = ENTRY_BYTES + entry.name.length;
    if (used + bytes > BLOCK_BYTES) {
      blocks.push(block);
      block = [];
      used = 0;
    }
    block.push(entry);
    used += bytes;
  }
  blocks.push(block);
  return blocks;
}

/** Size of a directory with these blocks. */
export function directoryBytes(blocks: readonly (readonly DirectoryEntry[])[]): number {
  const last = blocks.at(-1) ?? [];
  return (blocks.length - 1) * BLOCK_BYTES + last.reduce((sum, { name }) => sum + ENTRY_BYTES + name.length, 0);
}

/** Writes one block: the entries, then the names that they point at. */
export function writeBlock(target: Buffer, at: number, entries: readonly DirectoryEntry[]): void {
  let nameAt = entries.length * ENTRY_BYTES;
  entries.forEach(({ name, inode }, index) => {
    const entry = at + index * ENTRY_BYTES;
    target.writeUInt32LE(inode.nid, entry);
    target.writeUInt16LE(nameAt, entry + 8);
    target.writeUInt8(FILE_TYPES[inode.node.kind], entry + 10);
    target.write(name, at + nameAt, 'latin1');
    nameAt += name.length;
  });
}
