import { ByteReader } from './bytes.js';
import { parseSparseMap, type SparseMap } from './sparse-map.js';
import { BLOCK_BYTES, parseHeader, parsePax, type TarHeader } from './tar-header.js';
import { untrusted } from './untrusted.js';

export interface TarEntry extends TarHeader {
  /** Where the bytes of the body belong; `undefined` for a file without holes. */
  readonly sparse: SparseMap | undefined;
  /** Size of the file that comes of it, holes included. */
  readonly realSize: number;
  /** Bytes of long names and other headers that came before it. */
  readonly extraBytes: number;
  /** To be read before the next entry is asked for; what is left of it is dropped then. */
  readonly body: AsyncIterable<Uint8Array>;
}

const LARGEST_EXTRA_BYTES = 2 ** 20;
const MOST_EXTRAS = 16;
const MOST_PADDING_BYTES = 2 ** 20;
const LARGEST_PIECE_BYTES = 256 * 2 ** 10;
/** Files of all the kinds that ustar knows. */
const FILE_FLAGS = '07';

/** What stands in headers of its own before an entry. */
interface Extras {
  name: string | undefined;
  linkname: string | undefined;
  pax: ReadonlyMap<string, string>;
  bytes: number;
  count: number;
}

/**
 * The entries of a tar stream that a hostile guest may have made: ustar, GNU's long names, PAX, and PAX's sparse files 1.0.
 * Strict, and bounded in all that it keeps. It judges no names: that is for whoever writes files.
 *
 * Ours, since tar-stream takes negative sizes, knows no sparse files, and may wait for ever when a stream breaks.
 * @throws guest-untrusted-data for what is no archive, or ends in its middle.
 */
export async function* readTar(archive: AsyncIterable<Uint8Array>): AsyncGenerator<TarEntry> {
  const bytes = new ByteReader(archive);
  try {
    let extras = noExtras();
    for (;;) {
      const header = await nextHeader(bytes);
      if (header === undefined) break;
      if (isExtra(header.flag)) {
        await readExtra(bytes, header, extras);
        continue;
      }
      const entry = await openEntry(bytes, header, extras);
      extras = noExtras();
      yield entry;
      await entry.skip();
    }
    if (extras.count > 0) throw untrusted('an archive that ends in its middle', 'after a long name');
    await dropPadding(bytes);
  } finally {
    await bytes.close();
  }
}

function noExtras(): Extras {
  return { name: undefined, linkname: undefined, pax: new Map(), bytes: 0, count: 0 };
}

async function nextHeader(bytes: ByteReader): Promise<TarHeader | undefined> {
  const block = await bytes.upTo(BLOCK_BYTES);
  if (block.length < BLOCK_BYTES) throw endedEarly('a header');
  return parseHeader(block);
}

function isExtra(flag: string): boolean {
  return 'xgLK'.includes(flag);
}

async function readExtra(bytes: ByteReader, header: TarHeader, extras: Extras): Promise<void> {
  if (header.size > LARGEST_EXTRA_BYTES) throw untrusted('an archive with an endless header', header.name);
  extras.count += 1;
  extras.bytes += header.size;
  if (extras.count > MOST_EXTRAS) throw untrusted('an archive with endless headers', header.name);
  const body = await bytes.upTo(header.size);
  if (body.length < header.size) throw endedEarly('a long name');
  await dropExactly(bytes, padding(header.size));
  // One that holds for all entries says nothing that we want to know.
  if (header.flag === 'x') extras.pax = parsePax(body);
  if (header.flag === 'L') extras.name = untilZero(body);
  if (header.flag === 'K') extras.linkname = untilZero(body);
}

function untilZero(bytes: Buffer): string {
  const end = bytes.indexOf(0);
  return bytes.toString('utf8', 0, end === -1 ? bytes.length : end);
}

async function openEntry(
  bytes: ByteReader,
  header: TarHeader,
  { name, linkname, pax, bytes: extraBytes }: Extras,
): Promise<TarEntry & { readonly skip: () => Promise<void> }> {
  const shown = pax.get('GNU.sparse.name') ?? pax.get('path') ?? name ?? header.name;
  const size = wholeNumber(pax.get('size'), shown) ?? header.size;
  // Old archives mark directories by their names alone.
  const flag = header.flag === '0' && shown.endsWith('/') ? '5' : header.flag;
  if (size > 0 && !FILE_FLAGS.includes(flag)) throw untrusted('an entry with a body that it cannot have', shown);
  let left = size;
  const take = async (most: number): Promise<Uint8Array> => {
    if (left === 0) return Buffer.alloc(0);
    const piece = await bytes.some(Math.min(most, left));
    if (piece === undefined) throw endedEarly(shown);
    left -= piece.length;
    return piece;
  };
  const realSize = wholeNumber(pax.get('GNU.sparse.realsize'), shown);
  let sparse: SparseMap | undefined;
  if (isSparse(pax, shown) && FILE_FLAGS.includes(flag)) {
    sparse = await parseSparseMap(take, realSize ?? 0, shown);
    if (sparse.dataBytes !== left) throw untrusted('a sparse file whose map does not fit its bytes', shown);
  }
  async function* body(): AsyncGenerator<Uint8Array> {
    while (left > 0) yield await take(LARGEST_PIECE_BYTES);
  }
  return {
    ...header,
    name: shown,
    flag,
    size,
    linkname: pax.get('linkpath') ?? linkname ?? header.linkname,
    mtime: seconds(pax.get('mtime')) ?? header.mtime,
    sparse,
    realSize: sparse === undefined ? size : (realSize ?? 0),
    extraBytes,
    body: body(),
    skip: async () => {
      while (left > 0) await take(LARGEST_PIECE_BYTES);
      await dropExactly(bytes, padding(size));
    },
  };
}

function isSparse(pax: ReadonlyMap<string, string>, name: string): boolean {
  const major = pax.get('GNU.sparse.major');
  const minor = pax.get('GNU.sparse.minor');
  const older = ['GNU.sparse.size', 'GNU.sparse.map', 'GNU.sparse.numblocks'].some((key) => pax.has(key));
  if (major === undefined && minor === undefined && !older) return false;
  if (major === '1' && minor === '0' && !older) return true;
  throw untrusted('a sparse file of a kind that is not known', name);
}

function wholeNumber(text: string | undefined, name: string): number | undefined {
  if (text === undefined) return undefined;
  const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
  if (!Number.isSafeInteger(value)) throw untrusted('an archive with a number that is none', name);
  return value;
}

/** A time that cannot be read is no reason to refuse a file. */
function seconds(text: string | undefined): number | undefined {
  return text !== undefined && /^-?\d{1,12}(\.\d{0,20})?$/.test(text) ? Number(text) : undefined;
}

function padding(size: number): number {
  return (BLOCK_BYTES - (size % BLOCK_BYTES)) % BLOCK_BYTES;
}

async function dropExactly(bytes: ByteReader, count: number): Promise<void> {
  if ((await bytes.upTo(count)).length < count) throw endedEarly('the end of an entry');
}

/** The stream is read to its end, so that whoever checks it comes to its trailer. */
async function dropPadding(bytes: ByteReader): Promise<void> {
  for (let dropped = 0; ;) {
    const piece = await bytes.some(MOST_PADDING_BYTES);
    if (piece === undefined) return;
    dropped += piece.length;
    if (dropped > MOST_PADDING_BYTES) throw untrusted('an archive that goes on behind its end', `${dropped} bytes`);
  }
}

function endedEarly(where: string): Error {
  return untrusted('an archive that ends in its middle', where);
}
