/** A file of an EROFS image, as a kernel would see it. */
export interface ErofsFile {
  /** Bytes as `latin1`; empty for the root. */
  readonly path: string;
  readonly nid: number;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly links: number;
  readonly seconds: number;
  readonly nanoseconds: number;
  readonly size: number;
  /** Of a file or link; of a device its number. */
  readonly content: Buffer;
  readonly device: number;
  readonly xattrs: Readonly<Record<string, string>>;
}

const BLOCK = 4096;
const PREFIXES: Readonly<Record<number, string>> = {
  1: 'user.',
  2: 'system.posix_acl_access',
  3: 'system.posix_acl_default',
  4: 'trusted.',
  6: 'security.',
};

/** Reads a whole image, written by what its documentation says and not by what our writer does. */
export function readErofs(image: Buffer): ErofsFile[] {
  if (image.readUInt32LE(1024) !== 0xe0f5e1e2) throw new Error('no EROFS');
  const metadataAt = image.readUInt32LE(1024 + 40) * BLOCK;
  const files: ErofsFile[] = [];
  const visit = (nid: number, path: string): void => {
    const file = readInode(image, metadataAt, nid, path);
    files.push(file);
    if ((file.mode & 0o170000) !== 0o040000) return;
    const entries = readDirectory(file.content);
    const names = entries.map(({ name }) => name);
    if (names.join('\0') !== [...names].sort((a, b) => (a < b ? -1 : 1)).join('\0')) throw new Error(`${path}: order`);
    for (const { name, nid: child } of entries) {
      if (name === '.' && child !== nid) throw new Error(`${path}: wrong "."`);
      if (name !== '.' && name !== '..') visit(child, path === '' ? name : `${path}/${name}`);
    }
  };
  visit(image.readUInt16LE(1024 + 14), '');
  return files;
}

function readInode(image: Buffer, metadataAt: number, nid: number, path: string): ErofsFile {
  const at = metadataAt + nid * 32;
  const format = image.readUInt16LE(at);
  if ((format & 1) !== 1) throw new Error('compact inode');
  const layout = (format >> 1) & 7;
  const icount = image.readUInt16LE(at + 2);
  const xattrBytes = icount === 0 ? 0 : 12 + (icount - 1) * 4;
  const mode = image.readUInt16LE(at + 4);
  const size = Number(image.readBigUInt64LE(at + 8));
  const start = image.readUInt32LE(at + 16);
  const tailAt = at + 64 + xattrBytes;
  const isDevice = [0o020000, 0o060000].includes(mode & 0o170000);
  const whole = layout === 2 ? Math.floor(size / BLOCK) * BLOCK : size;
  const plain = image.subarray(start * BLOCK, start * BLOCK + whole);
  const tail = layout === 2 ? image.subarray(tailAt, tailAt + (size - whole)) : Buffer.alloc(0);
  if (layout === 2 && (at % BLOCK) + 64 + xattrBytes + tail.length > BLOCK) throw new Error(`${path}: crosses a block`);
  const content = isDevice ? Buffer.alloc(0) : Buffer.concat([whole === 0 ? Buffer.alloc(0) : plain, tail]);
  if (!isDevice && content.length !== size) throw new Error(`${path}: cut off`);
  return {
    ...{ path, nid, mode, size, content, device: isDevice ? start : 0 },
    uid: image.readUInt32LE(at + 24),
    gid: image.readUInt32LE(at + 28),
    seconds: Number(image.readBigInt64LE(at + 32)),
    nanoseconds: image.readUInt32LE(at + 40),
    links: image.readUInt32LE(at + 44),
    xattrs: readXattrs(image.subarray(at + 64, tailAt)),
  };
}

function readXattrs(body: Buffer): Record<string, string> {
  const xattrs: Record<string, string> = {};
  for (let at = 12; at < body.length;) {
    const [nameLength = 0, index = 0] = body.subarray(at, at + 2);
    const valueAt = at + 4 + nameLength;
    const valueEnd = valueAt + body.readUInt16LE(at + 2);
    const name = `${PREFIXES[index] ?? '?'}${body.toString('latin1', at + 4, valueAt)}`;
    xattrs[name] = body.toString('hex', valueAt, valueEnd);
    at += Math.ceil((valueEnd - at) / 4) * 4;
  }
  return xattrs;
}

function readDirectory(content: Buffer): { readonly name: string; readonly nid: number }[] {
  const entries: { name: string; nid: number }[] = [];
  for (let from = 0; from < content.length; from += BLOCK) {
    const block = content.subarray(from, from + BLOCK);
    const count = block.readUInt16LE(8) / 12;
    for (let number = 0; number < count; number += 1) {
      const nameAt = block.readUInt16LE(number * 12 + 8);
      const end = number + 1 < count ? block.readUInt16LE((number + 1) * 12 + 8) : block.length;
      const name = block.toString('latin1', nameAt, end).replace(/\0.*$/s, '');
      entries.push({ name, nid: Number(block.readBigUInt64LE(number * 12)) });
    }
  }
  return entries;
}
