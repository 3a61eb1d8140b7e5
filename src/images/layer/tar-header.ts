import { layerError } from './limits.js';

/** One header block, as it stands. Names are bytes (`latin1`). */
export interface TarHeader {
  readonly name: string;
  /** One character, as in ustar: `0` file, `1` hard link, `2` symbolic link, `5` directory, and so on. */
  readonly flag: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Of what follows the header. */
  readonly size: number;
  readonly seconds: number;
  readonly linkname: string;
  readonly major: number;
  readonly minor: number;
}

export const HEADER_BYTES = 512;
const CHECKSUM_AT = 148;
const CHECKSUM_END = 156;
const SPACE = 0x20;

/**
 * Written for speed: an image has tens of thousands of them.
 * @returns `undefined` for a block of zeros, which ends an archive
 */
export function parseHeader(block: Buffer): TarHeader | undefined {
  let sum = 0;
  // Some old programs added up signed bytes.
  let signedSum = 0;
  for (let at = 0; at < HEADER_BYTES; at += 1) {
    const byte = at >= CHECKSUM_AT && at < CHECKSUM_END ? SPACE : (block[at] ?? 0);
    sum += byte;
    signedSum += byte < 0x80 ? byte : byte - 0x100;
  }
  if (sum === 8 * SPACE && block[0] === 0) return undefined;
  let name = text(block, 0, 100);
  const digits = /^ *[0-7]+/.exec(block.toString('latin1', CHECKSUM_AT, CHECKSUM_END))?.[0] ?? '';
  const stored = Number.parseInt(digits, 8);
  if (stored !== sum && stored !== signedSum) throw layerError('layer that is no tar archive, or a damaged one', name);
  // GNU's own format keeps other things where the prefix is.
  const isUstar = block.toString('latin1', 257, 263) === 'ustar\0';
  if (isUstar && block[345] !== 0) name = `${text(block, 345, 155)}/${name}`;
  const flag = block[156] ?? 0;
  const isDevice = flag === 0x33 || flag === 0x34;
  return {
    name,
    flag: flag === 0 ? '0' : String.fromCharCode(flag),
    mode: number(block, 100, 8, name) & 0o7777,
    uid: number(block, 108, 8, name),
    gid: number(block, 116, 8, name),
    size: number(block, 124, 12, name),
    seconds: number(block, 136, 12, name),
    linkname: text(block, 157, 100),
    major: isDevice ? number(block, 329, 8, name) : 0,
    minor: isDevice ? number(block, 337, 8, name) : 0,
  };
}

function text(block: Buffer, at: number, length: number): string {
  let end = at;
  while (end < at + length && block[end] !== 0) end += 1;
  return block.toString('latin1', at, end);
}

/** Octal digits, or a binary number (two's complement, biggest first) when the first bit is set. */
function number(block: Buffer, at: number, length: number, name: string): number {
  const first = block[at] ?? 0;
  if (first >= 0x80) return binary(block, at, length, name);
  let value = 0;
  let digits = 0;
  for (let place = at; place < at + length; place += 1) {
    const byte = block[place] ?? 0;
    if (byte === 0 || (byte === SPACE && digits > 0)) break;
    if (byte === SPACE) continue;
    if (byte < 0x30 || byte > 0x37) throw layerError('layer with a number that is none', name);
    value = value * 8 + byte - 0x30;
    digits += 1;
  }
  return value;
}

function binary(block: Buffer, at: number, length: number, name: string): number {
  const first = block[at] ?? 0;
  const isNegative = (first & 0x40) !== 0;
  let value = isNegative ? (first & 0x7f) - 0x80 : first & 0x7f;
  for (let place = at + 1; place < at + length; place += 1) value = value * 256 + (block[place] ?? 0);
  if (!Number.isSafeInteger(value)) throw layerError('layer with a number that is too large', name);
  return value;
}
