/** One entry of a layer, with everything that a tar can say. Texts are UTF-8, or bytes as they are. */
export interface WrittenEntry {
  readonly name: string | Buffer;
  /** As in ustar: `0` file (the default), `1` hard link, `2` symbolic link, `3` and `4` devices, `5` directory, `6` fifo. */
  readonly flag?: string;
  readonly data?: string | Buffer;
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  /** Seconds, with a fraction when PAX says it. */
  readonly mtime?: number;
  readonly link?: string | Buffer;
  readonly major?: number;
  readonly minor?: number;
  readonly xattrs?: Readonly<Record<string, string | Buffer>>;
  /** PAX records before it. */
  readonly pax?: Readonly<Record<string, string | Buffer>>;
  /** How a name that is too long is told. Default: `pax`. */
  readonly long?: 'pax' | 'gnu' | 'prefix';
  /** Numbers as GNU writes those that octal digits do not hold. */
  readonly binary?: boolean;
  /** What the header says, when that is not true. */
  readonly size?: number;
}

const BLOCK = 512;
const LARGEST_OCTAL_ID = 0o7777777;
const LARGEST_OCTAL_SIZE = 8 ** 11 - 1;
export const END = Buffer.alloc(2 * BLOCK);

/** The tar of a layer, which may be as odd as a test wants it. */
export function writeLayer(entries: readonly WrittenEntry[], end: Buffer = END): Buffer {
  return Buffer.concat([...entries.map(writeEntry), end]);
}

export function writeEntry(entry: WrittenEntry): Buffer {
  const name = bytesOf(entry.name);
  const link = bytesOf(entry.link ?? '');
  const data = bytesOf(entry.data ?? '');
  const long = entry.long ?? 'pax';
  const records: [string, Buffer][] = Object.entries(entry.pax ?? {}).map(([key, value]) => [key, bytesOf(value)]);
  for (const [key, value] of Object.entries(entry.xattrs ?? {})) records.push([`SCHILY.xattr.${key}`, bytesOf(value)]);
  const { uid = 0, gid = 0, mtime = 1_700_000_000 } = entry;
  if (entry.binary !== true) {
    if (uid > LARGEST_OCTAL_ID) records.push(['uid', Buffer.from(String(uid))]);
    if (gid > LARGEST_OCTAL_ID) records.push(['gid', Buffer.from(String(gid))]);
    if (!Number.isInteger(mtime) || mtime < 0) records.push(['mtime', Buffer.from(String(mtime))]);
    if (data.length > LARGEST_OCTAL_SIZE) records.push(['size', Buffer.from(String(data.length))]);
  }
  const parts: Buffer[] = [];
  if (name.length > 100 && long === 'pax') records.push(['path', name]);
  if (link.length > 100 && long === 'pax') records.push(['linkpath', link]);
  if (records.length > 0) parts.push(extra('x', Buffer.concat(records.map(([key, value]) => paxRecord(key, value)))));
  if (link.length > 100 && long === 'gnu') parts.push(extra('K', Buffer.concat([link, Buffer.alloc(1)])));
  if (name.length > 100 && long === 'gnu') parts.push(extra('L', Buffer.concat([name, Buffer.alloc(1)])));
  parts.push(header(entry, name, link, entry.size ?? data.length), data, padding(data.length));
  return Buffer.concat(parts);
}

/** The records of a PAX header, each with its length at its front. */
export function paxRecord(key: string, value: Buffer): Buffer {
  const rest = Buffer.concat([Buffer.from(` ${key}=`), value, Buffer.from('\n')]);
  let length = rest.length + 1;
  while (String(length).length + rest.length !== length) length = String(length).length + rest.length;
  return Buffer.concat([Buffer.from(String(length)), rest]);
}

export function extra(flag: string, body: Buffer): Buffer {
  const name = Buffer.from(flag === 'x' ? 'PaxHeaders/x' : '././@LongLink');
  return Buffer.concat([header({ name, flag }, name, Buffer.alloc(0), body.length), body, padding(body.length)]);
}

export function header(entry: WrittenEntry, name: Buffer, link: Buffer, size: number): Buffer {
  const block = Buffer.alloc(BLOCK);
  const slash = entry.long === 'prefix' ? name.lastIndexOf('/', 155) : -1;
  if (slash > 0) name.copy(block, 345, 0, slash);
  name.copy(block, 0, slash + 1, slash + 101);
  const number = (value: number, at: number, length: number): void =>
    writeNumber(block, value, at, length, entry.binary === true);
  number(entry.mode ?? (entry.flag === '5' ? 0o755 : 0o644), 100, 8);
  number(fits(entry.uid, entry), 108, 8);
  number(fits(entry.gid, entry), 116, 8);
  number(size, 124, 12);
  number(Math.max(0, Math.floor(entry.mtime ?? 1_700_000_000)), 136, 12);
  block.write(entry.flag ?? '0', 156, 'latin1');
  link.copy(block, 157, 0, 100);
  block.write('ustar\x0000', 257, 'latin1');
  number(entry.major ?? 0, 329, 8);
  number(entry.minor ?? 0, 337, 8);
  return seal(block);
}

/** Gives a header that was changed the checksum that it needs. */
export function seal(block: Buffer): Buffer {
  block.fill(0x20, 148, 156);
  let sum = 0;
  for (const byte of block) sum += byte;
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return block;
}

function fits(id: number | undefined, entry: WrittenEntry): number {
  return id === undefined || (id > LARGEST_OCTAL_ID && entry.binary !== true) ? 0 : id;
}

function writeNumber(block: Buffer, value: number, at: number, length: number, binary: boolean): void {
  if (!binary) {
    block.write(`${value.toString(8).padStart(length - 1, '0')}\0`, at, 'latin1');
    return;
  }
  let rest = BigInt(value);
  for (let place = at + length - 1; place > at; place -= 1) {
    block[place] = Number(rest & 0xffn);
    rest >>= 8n;
  }
  block[at] = value < 0 ? 0xff : 0x80;
}

function padding(size: number): Buffer {
  return Buffer.alloc((BLOCK - (size % BLOCK)) % BLOCK);
}

function bytesOf(text: string | Buffer): Buffer {
  return typeof text === 'string' ? Buffer.from(text) : text;
}
