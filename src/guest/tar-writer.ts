import { BLOCK_BYTES } from './tar-header.js';

export interface NewEntry {
  /** Relative; directories need no slash at their end. */
  readonly name: string;
  /** As in {@link TarHeader}. */
  readonly flag: '0' | '1' | '2' | '5';
  readonly mode: number;
  /** Of the body in the archive. */
  readonly size: number;
  /** Nanoseconds since 1970. */
  readonly mtimeNanos: bigint;
  readonly linkname: string;
  /** Size of a sparse file whose map and bytes are the body; `undefined` for any other. */
  readonly sparseSize: number | undefined;
}

const NANOS = 1_000_000_000n;
const LONGEST_SHORT_NAME = 100;
/** What eleven octal digits hold. */
const LARGEST_OCTAL = 8 ** 11 - 1;

/**
 * The blocks before the body of an entry: names as they are, long ones as GNU has it, which every tar reads (busybox knows no
 * PAX names).
 *
 * @param pax whether to tell in PAX records what the header cannot hold: the time's fraction. Sparse files need it.
 */
export function renderHeader(entry: NewEntry, { pax }: { readonly pax: boolean }): Buffer {
  const parts: Buffer[] = [];
  const records = pax ? paxRecords(entry) : '';
  if (records !== '') parts.push(extra('x', 'PaxHeader', Buffer.from(records)));
  // What does not know sparse files unpacks the map beside the tree, not a wrong file in it.
  const name = Buffer.from(entry.sparseSize === undefined ? entry.name : `GNUSparseFile.0/${entry.name}`);
  const linkname = Buffer.from(entry.linkname);
  if (linkname.length > LONGEST_SHORT_NAME) parts.push(longName('K', linkname));
  if (name.length > LONGEST_SHORT_NAME) parts.push(longName('L', name));
  const seconds = Number(entry.mtimeNanos / NANOS);
  parts.push(block(name, entry.flag, entry.mode, entry.size, Math.max(seconds, 0), linkname));
  return Buffer.concat(parts);
}

/** The zeros behind a body. */
export function padding(size: number): Buffer {
  return Buffer.alloc((BLOCK_BYTES - (size % BLOCK_BYTES)) % BLOCK_BYTES);
}

/** The end of an archive. */
export const END_OF_ARCHIVE = Buffer.alloc(2 * BLOCK_BYTES);

function block(name: Buffer, flag: string, mode: number, size: number, mtime: number, linkname: Buffer): Buffer {
  const header = Buffer.alloc(BLOCK_BYTES);
  name.copy(header, 0, 0, LONGEST_SHORT_NAME);
  header.write(octal(mode & 0o7777, 8), 100, 'latin1');
  header.write(octal(0, 8), 108, 'latin1');
  header.write(octal(0, 8), 116, 'latin1');
  writeNumber(header, 124, size);
  writeNumber(header, 136, mtime);
  header.write(flag, 156, 'latin1');
  linkname.copy(header, 157, 0, LONGEST_SHORT_NAME);
  header.write('ustar  \0', 257, 'latin1');
  let sum = 8 * 0x20;
  for (const byte of header) sum += byte;
  header.write(`${octal(sum, 7)} `, 148, 'latin1');
  return header;
}

/** Digits that fill a field but for the zero at its end. */
function octal(value: number, length: number): string {
  return `${value.toString(8).padStart(length - 1, '0')}\0`;
}

function writeNumber(header: Buffer, at: number, value: number): void {
  if (value <= LARGEST_OCTAL) {
    header.write(octal(value, 12), at, 'latin1');
    return;
  }
  header[at] = 0x80;
  header.writeBigUInt64BE(BigInt(value), at + 4);
}

function extra(flag: string, name: string, body: Buffer): Buffer {
  const header = block(Buffer.from(name), flag, 0o644, body.length, 0, Buffer.alloc(0));
  return Buffer.concat([header, body, padding(body.length)]);
}

function longName(flag: 'K' | 'L', name: Buffer): Buffer {
  return extra(flag, '././@LongLink', Buffer.concat([name, Buffer.alloc(1)]));
}

function paxRecords({ name, mtimeNanos, sparseSize }: NewEntry): string {
  const fraction = mtimeNanos % NANOS;
  const records: [string, string][] = [];
  if (fraction > 0n) records.push(['mtime', `${mtimeNanos / NANOS}.${String(fraction).padStart(9, '0')}`]);
  if (sparseSize !== undefined) {
    records.push(['GNU.sparse.major', '1'], ['GNU.sparse.minor', '0']);
    records.push(['GNU.sparse.name', name], ['GNU.sparse.realsize', String(sparseSize)]);
  }
  return records.map(([key, value]) => paxRecord(key, value)).join('');
}

/** The length at its front counts itself. */
function paxRecord(key: string, value: string): string {
  const rest = ` ${key}=${value}\n`;
  const restBytes = Buffer.byteLength(rest);
  let length = restBytes + 1;
  while (String(length).length + restBytes !== length) length = String(length).length + restBytes;
  return `${length}${rest}`;
}
