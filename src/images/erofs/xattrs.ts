import type { Xattr } from '../layer/entry.js';

/** What EROFS has a number for instead of the text at the front of a name. The longer come first. */
const PREFIXES: readonly (readonly [string, number])[] = [
  ['system.posix_acl_access', 2],
  ['system.posix_acl_default', 3],
  ['user.', 1],
  ['trusted.', 4],
  ['security.', 6],
];
const HEADER_BYTES = 12;
const ENTRY_BYTES = 4;

/**
 * The extended attributes behind an inode; empty without any. Those of other families (`system.*`) mean nothing to EROFS and are left
 * out.
 */
export function xattrBody(xattrs: readonly Xattr[]): Buffer {
  const entries: Buffer[] = [];
  for (const { name, value } of xattrs) {
    const found = PREFIXES.find(([prefix]) => name.startsWith(prefix));
    if (found === undefined) continue;
    const [prefix, index] = found;
    const suffix = name.slice(prefix.length);
    const length = ENTRY_BYTES + suffix.length + value.length;
    const entry = Buffer.alloc(Math.ceil(length / 4) * 4);
    entry.writeUInt8(suffix.length, 0);
    entry.writeUInt8(index, 1);
    entry.writeUInt16LE(value.length, 2);
    entry.write(suffix, ENTRY_BYTES, 'latin1');
    value.copy(entry, ENTRY_BYTES + suffix.length);
    entries.push(entry);
  }
  return entries.length === 0 ? Buffer.alloc(0) : Buffer.concat([Buffer.alloc(HEADER_BYTES), ...entries]);
}

/** How an inode tells the size of that body. */
export function xattrCount(body: Buffer): number {
  return body.length === 0 ? 0 : (body.length - HEADER_BYTES) / ENTRY_BYTES + 1;
}
