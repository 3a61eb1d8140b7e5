import { VmRunnerError } from '../../core/errors.js';
import { NO_XATTRS, type EntryKind, type LayerEntry, type Xattr } from './entry.js';

/** What a layer is, without the bytes of its files. */
export interface LayerIndex {
  /** Size of the tar. */
  readonly rawBytes: number;
  /** Size of the layer's data, a multiple of blocks. */
  readonly dataBytes: number;
  readonly entries: readonly LayerEntry[];
}

const MAGIC = 'VMRLAYER';
/** Raised when the format changes, or what a conversion makes of the same tar. */
const VERSION = 1;
const HEADER_BYTES = 32;
const KINDS: readonly EntryKind[] = [
  'file',
  'hardlink',
  'symlink',
  'character-device',
  'block-device',
  'directory',
  'fifo',
];
/** Of an entry before its texts. */
const FIXED_BYTES = 48;

/**
 * The index as a file: a header, then the entries, all numbers little-endian. Binary, since JSON of a large image takes longer
 * to read than its VM to start.
 */
export function encodeIndex({ rawBytes, dataBytes, entries }: LayerIndex): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  header.write(MAGIC, 0, 'latin1');
  header.writeUInt32LE(VERSION, 8);
  header.writeUInt32LE(entries.length, 12);
  header.writeDoubleLE(rawBytes, 16);
  header.writeDoubleLE(dataBytes, 24);
  return Buffer.concat([header, ...entries.map(encodeEntry)]);
}

function encodeEntry(entry: LayerEntry): Buffer {
  const { path, target, xattrs } = entry;
  const xattrBytes = xattrs.reduce((sum, { name, value }) => sum + 6 + name.length + value.length, 0);
  const bytes = Buffer.allocUnsafe(FIXED_BYTES + path.length + target.length + xattrBytes);
  bytes.writeUInt8(KINDS.indexOf(entry.kind), 0);
  bytes.writeUInt8(xattrs.length, 1);
  bytes.writeUInt16LE(entry.mode, 2);
  bytes.writeUInt32LE(entry.uid, 4);
  bytes.writeUInt32LE(entry.gid, 8);
  bytes.writeDoubleLE(entry.seconds, 12);
  bytes.writeUInt32LE(entry.nanoseconds, 20);
  bytes.writeDoubleLE(entry.size, 24);
  bytes.writeUInt32LE(entry.block, 32);
  bytes.writeUInt32LE(entry.major, 36);
  bytes.writeUInt32LE(entry.minor, 40);
  bytes.writeUInt16LE(path.length, 44);
  bytes.writeUInt16LE(target.length, 46);
  let at = FIXED_BYTES;
  at += bytes.write(path, at, 'latin1');
  at += bytes.write(target, at, 'latin1');
  for (const { name, value } of xattrs) {
    bytes.writeUInt16LE(name.length, at);
    bytes.writeUInt32LE(value.length, at + 2);
    at += 6;
    at += bytes.write(name, at, 'latin1');
    at += value.copy(bytes, at);
  }
  return bytes;
}

/** @throws store-damaged when it is no index of this version. */
export function decodeIndex(bytes: Buffer, file: string): LayerIndex {
  try {
    return decode(bytes);
  } catch (cause) {
    throw new VmRunnerError('store-damaged', 'index of a layer cannot be understood', {
      subject: file,
      hint: 'Remove its directory: the layer is fetched again at the next use.',
      cause,
    });
  }
}

function decode(bytes: Buffer): LayerIndex {
  if (bytes.toString('latin1', 0, 8) !== MAGIC || bytes.readUInt32LE(8) !== VERSION) throw new Error('other version');
  const count = bytes.readUInt32LE(12);
  const entries: LayerEntry[] = [];
  let at = HEADER_BYTES;
  for (let number = 0; number < count; number += 1) {
    const pathEnd = at + FIXED_BYTES + bytes.readUInt16LE(at + 44);
    const targetEnd = pathEnd + bytes.readUInt16LE(at + 46);
    const { xattrs, end } = decodeXattrs(bytes, targetEnd, bytes.readUInt8(at + 1));
    if (end > bytes.length) throw new Error('cut off');
    entries.push({
      kind: KINDS[bytes.readUInt8(at)] ?? 'file',
      path: bytes.toString('latin1', at + FIXED_BYTES, pathEnd),
      mode: bytes.readUInt16LE(at + 2),
      uid: bytes.readUInt32LE(at + 4),
      gid: bytes.readUInt32LE(at + 8),
      seconds: bytes.readDoubleLE(at + 12),
      nanoseconds: bytes.readUInt32LE(at + 20),
      size: bytes.readDoubleLE(at + 24),
      block: bytes.readUInt32LE(at + 32),
      target: bytes.toString('latin1', pathEnd, targetEnd),
      major: bytes.readUInt32LE(at + 36),
      minor: bytes.readUInt32LE(at + 40),
      xattrs,
    });
    at = end;
  }
  if (at !== bytes.length) throw new Error('goes on behind its end');
  return { rawBytes: bytes.readDoubleLE(16), dataBytes: bytes.readDoubleLE(24), entries };
}

function decodeXattrs(
  bytes: Buffer,
  start: number,
  count: number,
): { readonly xattrs: readonly Xattr[]; readonly end: number } {
  if (count === 0) return { xattrs: NO_XATTRS, end: start };
  const xattrs: Xattr[] = [];
  let at = start;
  for (let number = 0; number < count; number += 1) {
    const nameEnd = at + 6 + bytes.readUInt16LE(at);
    const valueEnd = nameEnd + bytes.readUInt32LE(at + 2);
    // A copy: a view would keep the whole index.
    xattrs.push({
      name: bytes.toString('latin1', at + 6, nameEnd),
      value: Buffer.from(bytes.subarray(nameEnd, valueEnd)),
    });
    at = valueEnd;
  }
  return { xattrs, end: at };
}
