import type { Xattr } from './entry.js';
import { layerError } from './limits.js';

/** What stands in headers of its own before an entry. Names are bytes (`latin1`). */
export interface Extras {
  path?: string | undefined;
  linkpath?: string | undefined;
  size?: number | undefined;
  uid?: number | undefined;
  gid?: number | undefined;
  seconds?: number;
  nanoseconds?: number;
  /** By their names. */
  xattrs?: Map<string, Buffer>;
  sparse?: boolean;
}

const SPACE = 0x20;
const EQUALS = 0x3d;
const NEWLINE = 0x0a;

/** Reads the records of a PAX header into what is known of the entry behind it. An empty value takes back what was said. */
export function readPax(bytes: Buffer, extras: Extras): void {
  for (let at = 0; at < bytes.length;) {
    const space = bytes.indexOf(SPACE, at);
    const digits = space === -1 || space - at > 8 ? '' : bytes.toString('latin1', at, space);
    const end = /^\d+$/.test(digits) ? at + Number(digits) : 0;
    const equals = bytes.indexOf(EQUALS, space);
    if (end <= space || end > bytes.length || equals === -1 || equals >= end || bytes[end - 1] !== NEWLINE) {
      // Some writers pad with zeros.
      if (bytes.subarray(at).every((byte) => byte === 0)) return;
      throw layerError('layer with a damaged PAX header');
    }
    readRecord(bytes.toString('latin1', space + 1, equals), bytes.subarray(equals + 1, end - 1), extras);
    at = end;
  }
}

function readRecord(key: string, value: Buffer, extras: Extras): void {
  switch (key) {
    case 'path':
    case 'linkpath':
      extras[key] = value.length === 0 ? undefined : value.toString('latin1');
      return;
    case 'size':
    case 'uid':
    case 'gid':
      extras[key] = value.length === 0 ? undefined : wholeNumber(value, key);
      return;
    case 'mtime':
      readTime(value.toString('latin1'), extras);
      return;
    default:
      if (key.startsWith('GNU.sparse.')) extras.sparse = true;
      else readXattr(key, value, extras);
  }
}

function wholeNumber(value: Buffer, key: string): number {
  const number = /^\d{1,16}$/.test(value.toString('latin1')) ? Number(value.toString('latin1')) : Number.NaN;
  if (!Number.isSafeInteger(number)) throw layerError(`layer with a PAX header whose ${key} is no number`);
  return number;
}

/** A time that cannot be read is no reason to refuse a file. */
function readTime(text: string, extras: Extras): void {
  const match = /^(-?)(\d{1,12})(?:\.(\d*))?$/.exec(text);
  if (match === null) return;
  const [, sign, whole, fraction = ''] = match;
  const nanoseconds = Number(fraction.slice(0, 9).padEnd(9, '0'));
  const isNegative = sign === '-';
  extras.seconds = isNegative ? -Number(whole) - (nanoseconds > 0 ? 1 : 0) : Number(whole);
  extras.nanoseconds = isNegative && nanoseconds > 0 ? 1_000_000_000 - nanoseconds : nanoseconds;
}

const STAR_XATTR = 'SCHILY.xattr.';
const LIBARCHIVE_XATTR = 'LIBARCHIVE.xattr.';

/** Two families of archivers have their own: star, GNU and Go the bytes as they are, libarchive base64 of them. */
function readXattr(key: string, value: Buffer, extras: Extras): void {
  if (key.startsWith(STAR_XATTR)) {
    extras.xattrs ??= new Map();
    extras.xattrs.set(key.slice(STAR_XATTR.length), Buffer.from(value));
  } else if (key.startsWith(LIBARCHIVE_XATTR)) {
    const name = decodeName(key.slice(LIBARCHIVE_XATTR.length));
    extras.xattrs ??= new Map();
    // libarchive writes both families; the bytes are the same.
    if (!extras.xattrs.has(name)) extras.xattrs.set(name, Buffer.from(value.toString('latin1'), 'base64'));
  }
}

/** libarchive writes names as in an address: `%20`. */
function decodeName(name: string): string {
  return name.replaceAll(/%([0-9A-Fa-f]{2})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 16)));
}

const MOST_XATTRS = 255;

export function xattrList(extras: Extras, path: string, mostBytes: number): readonly Xattr[] | undefined {
  if (extras.xattrs === undefined) return undefined;
  let bytes = 0;
  const list: Xattr[] = [];
  for (const [name, value] of extras.xattrs) {
    if (name === '' || name.length > 255)
      throw layerError('layer with an extended attribute without a proper name', path);
    bytes += name.length + value.length;
    list.push({ name, value });
  }
  if (list.length > MOST_XATTRS)
    throw layerError(`layer with more than ${MOST_XATTRS} extended attributes of one file`, path);
  if (bytes > mostBytes) throw layerError(`layer with more than ${mostBytes} bytes of extended attributes`, path);
  return list;
}
