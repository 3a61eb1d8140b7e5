import { layerError, BLOCK_BYTES } from '../layer/limits.js';
import type { Node } from '../merge/tree.js';
import { fillBlocks, directoryBytes, type DirectoryEntry } from './directory.js';
import { xattrBody } from './xattrs.js';

/** Of the extended form of an inode. */
export const INODE_BYTES = 64;

/** A file of an EROFS image, and where it is in there. */
export interface Inode {
  readonly node: Node;
  readonly number: number;
  links: number;
  /** The name by which it was found first. */
  readonly path: string;
  /** Of a directory: its names, with `.` and `..`, by blocks. */
  blocks: readonly (readonly DirectoryEntry[])[];
  xattrs: Buffer;
  /** Of a directory or link: how much it holds. */
  size: number;
  /** Whether what it holds stands right behind it, and not in blocks of its own. */
  isInline: boolean;
  /** Its number for EROFS, which is its place. */
  nid: number;
  /** Where the blocks of a directory or link begin when it is not inline. */
  firstBlock: number;
}

/** All inodes below a root, which comes first; each with its names and links. */
export function collectInodes(root: Node): Inode[] {
  const known = new Map<Node, Inode>();
  const inodes: Inode[] = [];
  const find = (node: Node, path: string): { readonly inode: Inode; readonly isNew: boolean } => {
    const present = known.get(node);
    if (present !== undefined) return { inode: present, isNew: false };
    const inode: Inode = {
      node,
      number: inodes.length + 1,
      links: 0,
      path,
      blocks: [],
      xattrs: xattrBody(node.xattrs),
      size: node.kind === 'symlink' ? node.target.length : node.size,
      isInline: false,
      nid: 0,
      firstBlock: 0,
    };
    known.set(node, inode);
    inodes.push(inode);
    return { inode, isNew: true };
  };
  const first = find(root, '').inode;
  // Not by recursion: paths may be hundreds deep.
  const ahead: { readonly inode: Inode; readonly parent: Inode }[] = [{ inode: first, parent: first }];
  for (let next = ahead.pop(); next !== undefined; next = ahead.pop()) {
    const { inode, parent } = next;
    const entries: DirectoryEntry[] = [
      { name: '.', inode },
      { name: '..', inode: parent },
    ];
    inode.links = 2;
    for (const [name, node] of inode.node.children ?? []) {
      const path = inode.path === '' ? name : `${inode.path}/${name}`;
      const { inode: child, isNew } = find(node, path);
      entries.push({ name, inode: child });
      if (node.kind === 'directory') inode.links += 1;
      else child.links += 1;
      if (isNew && node.kind === 'directory') ahead.push({ inode: child, parent: inode });
    }
    inode.blocks = fillBlocks(entries);
    inode.size = directoryBytes(inode.blocks);
  }
  for (const { xattrs, path } of inodes) {
    if (INODE_BYTES + xattrs.length > BLOCK_BYTES)
      throw layerError('image with a file whose extended attributes fill more than a block', path);
  }
  return inodes;
}
