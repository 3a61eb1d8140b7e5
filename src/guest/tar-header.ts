import { untrusted } from './untrusted.js';

/** One header block of an archive, as it stands there. */
export interface TarHeader {
  readonly name: string;
  /** One character, as in ustar: `0` file, `1` hard link, `2` symbolic link, `5` directory, and so on. */
  readonly flag: string;
  readonly mode: number;
  /** Of what follows the header. */
  readonly size: number;
  /** Seconds since 1970. */
  readonly mtime: number;
  readonly linkname: string;
}

export const BLOCK_BYTES = 512;
const CHECKSUM_AT = 148;
const CHECKSUM_BYTES = 8;

/** @returns `undefined` for a block of zeros, which ends an archive */
export function parseHeader(block: Buffer): TarHeader | undefined {
  let sum = 0;
  for (const byte of block) sum += byte;
  if (sum === 0) return undefined;
  const stored = block.subarray(CHECKSUM_AT, CHECKSUM_AT + CHECKSUM_BYTES);
  for (const byte of stored) sum += 0x20 - byte;
  const name = text(block, 0, 100);
  if (number(block, CHECKSUM_AT, CHECKSUM_BYTES, name) !== sum) throw untrusted('a damaged archive', name);
  const magic = block.toString('latin1', 257, 263);
  // GNU's own format keeps other things where the prefix is.
  const prefix = magic === 'ustar\0' ? text(block, 345, 155) : '';
  return {
    name: prefix === '' ? name : `${prefix}/${name}`,
    flag: block[156] === 0 ? '0' : String.fromCharCode(block[156] ?? 0),
    mode: number(block, 100, 8, name),
    size: number(block, 124, 12, name),
    mtime: number(block, 136, 12, name),
    linkname: text(block, 157, 100),
  };
}

function text(block: Buffer, at: number, length: number): string {
  const field = block.subarray(at, at + length);
  const end = field.indexOf(0);
  return field.toString('utf8', 0, end === -1 ? length : end);
}

/** Octal digits, or 256 to the power of its place when the first bit is set. */
function number(block: Buffer, at: number, length: number, name: string): number {
  const field = block.subarray(at, at + length);
  let value = 0;
  if (field[0] === 0x80) {
    for (const byte of field.subarray(1)) value = value * 256 + byte;
  } else {
    const digits = field.toString('latin1').replaceAll(/^ +|[ \0].*$/gs, '');
    if (!/^[0-7]*$/.test(digits)) throw untrusted('an archive with a number that is none', name);
    value = digits === '' ? 0 : Number.parseInt(digits, 8);
  }
  if (!Number.isSafeInteger(value)) throw untrusted('an archive with an endless number', name);
  return value;
}

/** What a PAX header says of the entry behind it. */
export function parsePax(bytes: Buffer): ReadonlyMap<string, string> {
  const records = new Map<string, string>();
  for (let at = 0; at < bytes.length;) {
    const space = bytes.indexOf(0x20, at);
    const digits = space === -1 ? '' : bytes.toString('latin1', at, space);
    const end = /^\d{1,8}$/.test(digits) ? at + Number(digits) : 0;
    const equals = bytes.indexOf(0x3d, space);
    if (end <= space || end > bytes.length || equals === -1 || equals >= end || bytes[end - 1] !== 0x0a) {
      throw untrusted('a damaged archive', 'its PAX header');
    }
    records.set(bytes.toString('utf8', space + 1, equals), bytes.toString('utf8', equals + 1, end - 1));
    at = end;
  }
  return records;
}
