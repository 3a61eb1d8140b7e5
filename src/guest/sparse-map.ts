import { BLOCK_BYTES } from './tar-header.js';
import { untrusted } from './untrusted.js';

/** A part of a sparse file that has bytes. */
export interface Region {
  readonly offset: number;
  readonly length: number;
}

export interface SparseMap {
  /** In ascending order, none touching another's bytes. */
  readonly regions: readonly Region[];
  /** Of all regions together. */
  readonly dataBytes: number;
}

const MOST_REGIONS = 2 ** 17;
/** A number and its line end. */
const LONGEST_NUMBER = 17;

/**
 * The map that stands at the front of a sparse file's body in PAX's format 1.0: decimal numbers, one a line: how many regions,
 * then offset and length of each; filled up to whole blocks.
 *
 * @param take some bytes of the body, at most as many as asked for
 * @throws guest-untrusted-data when it lies: regions that overlap, lead beyond the file, or are too many.
 */
export async function parseSparseMap(
  take: (most: number) => Promise<Uint8Array>,
  fileSize: number,
  name: string,
): Promise<SparseMap> {
  let text = '';
  const nextNumber = async (): Promise<number> => {
    let end = text.indexOf('\n');
    while (end === -1) {
      if (text.length > LONGEST_NUMBER) throw lying('a number that is none', name);
      text += await wholeBlock(take, name);
      end = text.indexOf('\n');
    }
    const digits = text.slice(0, end);
    text = text.slice(end + 1);
    if (!/^\d{1,16}$/.test(digits)) throw lying('a number that is none', name);
    return Number(digits);
  };
  const count = await nextNumber();
  if (count > MOST_REGIONS) throw lying('too many regions', name);
  const regions: Region[] = [];
  let dataBytes = 0;
  let end = 0;
  for (let index = 0; index < count; index += 1) {
    const offset = await nextNumber();
    const length = await nextNumber();
    if (offset < end) throw lying('regions that overlap', name);
    end = offset + length;
    if (!Number.isSafeInteger(end) || end > fileSize) throw lying('a region beyond the file', name);
    dataBytes += length;
    if (length > 0) regions.push({ offset, length });
  }
  return { regions, dataBytes };
}

/** The inverse of {@link parseSparseMap}. */
export function renderSparseMap(regions: readonly Region[]): Buffer {
  const numbers = [regions.length, ...regions.flatMap(({ offset, length }) => [offset, length])];
  const text = Buffer.from(numbers.map((number) => `${number}\n`).join(''));
  return Buffer.concat([text, Buffer.alloc((BLOCK_BYTES - (text.length % BLOCK_BYTES)) % BLOCK_BYTES)]);
}

async function wholeBlock(take: (most: number) => Promise<Uint8Array>, name: string): Promise<string> {
  const parts: Uint8Array[] = [];
  for (let missing = BLOCK_BYTES; missing > 0;) {
    const part = await take(missing);
    if (part.length === 0) throw lying('a map that ends in its middle', name);
    parts.push(part);
    missing -= part.length;
  }
  return Buffer.concat(parts).toString('latin1');
}

function lying(what: string, name: string): Error {
  return untrusted(`a sparse file with ${what}`, name);
}
