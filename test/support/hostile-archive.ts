/** A generator of numbers that gives the same ones for the same seed. */
export class Dice {
  #state: number;
  /** Whether the rules of the format may be broken. Half of the archives keep to them, so that more is unpacked of them. */
  readonly wild: boolean;

  constructor(seed: number) {
    this.#state = seed >>> 0;
    this.wild = this.once(2);
  }

  /** At least 0, less than `below`. */
  roll(below: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let value = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    value = (value + Math.imul(value ^ (value >>> 7), 61 | value)) ^ value;
    return ((value ^ (value >>> 14)) >>> 0) % below;
  }

  pick<T>(choices: readonly T[]): T {
    return choices[this.roll(choices.length)] as T;
  }

  character(text: string): string {
    return text.charAt(this.roll(text.length));
  }

  /** True once in so many times. */
  once(inTimes: number): boolean {
    return this.roll(inTimes) === 0;
  }

  /** Never true for those that keep to the rules. */
  rarely(inTimes: number): boolean {
    return this.once(inTimes) && this.wild;
  }
}

const PARTS = [
  'a',
  'b',
  'c',
  'd/e',
  'out',
  'dangling',
  'loop',
  'file',
  'link',
  '.',
  '..',
  '',
  'x'.repeat(90),
  'ü',
  '\xff',
];
const TAME_PARTS = ['a', 'b', 'c', 'p', 'q', 'd', '.', 'ü'];
const WAYS = ['', '', '', '', '/', '../', './', 'a/../../', 'out/', 'link/', 'd/e/../../../'];
const TARGETS = [
  '.',
  '..',
  '../canary',
  '../canary/secret',
  '/etc/passwd',
  'a',
  'b/c',
  'd/../../canary',
  'out',
  'out/secret',
  'link/secret',
  './././..',
  '',
  'x'.repeat(5000),
];
const FLAGS = '00000000555511112222223467xgLKSDNV\0Z';
const TAME_FLAGS = '0000055112';
const KEYS = [
  'path',
  'linkpath',
  'size',
  'mtime',
  'GNU.sparse.major',
  'GNU.sparse.minor',
  'GNU.sparse.name',
  'GNU.sparse.realsize',
  'GNU.sparse.map',
  '__proto__',
];
const NUMBERS = ['0', '1', '512', '-1', '9007199254740993', '99999999999999999999', '1e3', '0x10', '', 'NaN', '1.5'];

/** A tar stream as nobody honest makes it: whole entries, and what breaks rules of names, kinds, sizes, maps and order. */
export function hostileArchive(dice: Dice): Buffer {
  const parts: Buffer[] = [];
  for (let entries = 1 + dice.roll(12); entries > 0; entries -= 1) {
    if (dice.rarely(4)) parts.push(paxHeader(dice));
    if (dice.rarely(8)) parts.push(longName(dice));
    if (dice.once(6)) parts.push(sparseFile(dice));
    else parts.push(entry(dice));
  }
  if (!dice.rarely(6)) parts.push(Buffer.alloc(1024));
  if (dice.once(10)) parts.push(Buffer.from('behind the end'));
  const archive = Buffer.concat(parts);
  if (dice.rarely(5)) archive[dice.roll(archive.length)] = dice.roll(256);
  return dice.rarely(5) ? archive.subarray(0, dice.roll(archive.length)) : archive;
}

/** The same bytes in pieces of any size. */
export async function* inPieces(archive: Buffer, dice: Dice): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < archive.length;) {
    const size = dice.pick([1, 7, 511, 512, 513, 4096, 100_000]);
    // Single bytes all through would only be slow.
    const piece = archive.subarray(at, at + Math.max(size, Math.floor(archive.length / 200)));
    at += piece.length;
    yield await Promise.resolve(piece);
  }
}

function name(dice: Dice): string {
  if (!dice.wild) return Array.from({ length: 1 + dice.roll(3) }, () => dice.pick(TAME_PARTS)).join('/');
  if (dice.once(60)) return 'deep/'.repeat(dice.roll(2000));
  return dice.pick(WAYS) + Array.from({ length: 1 + dice.roll(3) }, () => dice.pick(PARTS)).join('/');
}

function entry(dice: Dice): Buffer {
  const body = Buffer.alloc(dice.pick([0, 0, 1, 511, 512, 513, 3000]), 'b');
  const flag = dice.character(dice.wild ? FLAGS : TAME_FLAGS);
  const hasBody = '07xgLK'.includes(flag) || dice.rarely(10);
  const told = dice.rarely(15) ? dice.roll(2 ** 31) : hasBody ? body.length : 0;
  return Buffer.concat([header(dice, name(dice), flag, told, target(dice, flag)), ...(hasBody ? [padded(body)] : [])]);
}

/** Hard links mostly name what may be there; a link leads anywhere. */
function target(dice: Dice, flag: string): string {
  return flag === '1' && !dice.once(4) ? dice.pick(TAME_PARTS) : dice.pick(TARGETS);
}

function paxHeader(dice: Dice): Buffer {
  const records = Array.from({ length: dice.roll(5) }, () => {
    const key = dice.pick(KEYS);
    const value =
      key.endsWith('path') || key.endsWith('name') ? dice.pick([name(dice), dice.pick(TARGETS)]) : dice.pick(NUMBERS);
    return record(key, dice.once(20) ? `${value}\n` : value, dice);
  });
  const body = Buffer.from(records.join(''));
  return Buffer.concat([header(dice, 'PaxHeader', 'x', body.length, ''), padded(body)]);
}

function record(key: string, value: string, dice: Dice): string {
  const rest = ` ${key}=${value}\n`;
  const length = Buffer.byteLength(rest) + 2;
  return `${dice.rarely(15) ? dice.pick(NUMBERS) : length + (length >= 100 ? 1 : 0)}${rest}`;
}

function longName(dice: Dice): Buffer {
  const body = Buffer.from(dice.once(5) ? 'n'.repeat(dice.roll(70_000)) : `${name(dice)}\0`);
  return Buffer.concat([header(dice, '././@LongLink', dice.pick(['L', 'K']), body.length, ''), padded(body)]);
}

/** One whose map may lie about order, place, size and number. */
function sparseFile(dice: Dice): Buffer {
  const size = dice.wild ? dice.pick([0, 1000, 70_000, 2 ** 20, 2 ** 45]) : 70_000;
  const regions = Array.from({ length: dice.roll(4) }, (_, at) =>
    dice.wild ? [dice.roll(2000), dice.roll(2000)] : [at * 3000, dice.roll(3000)],
  );
  if (!dice.rarely(3)) regions.sort(([left = 0], [right = 0]) => left - right);
  const count = dice.rarely(10) ? dice.roll(2 ** 31) : regions.length;
  const numbers = dice.rarely(10) ? dice.pick(NUMBERS) : [count, ...regions.flat()].join('\n');
  const map = padded(Buffer.from(`${numbers}\n`));
  const told = regions.reduce((sum, [, length = 0]) => sum + length, 0);
  const data = Buffer.alloc(dice.rarely(4) ? dice.roll(4000) : told, 's');
  const records = [
    ['GNU.sparse.major', dice.rarely(10) ? '0' : '1'],
    ['GNU.sparse.minor', '0'],
    ['GNU.sparse.name', name(dice)],
    ['GNU.sparse.realsize', String(size)],
  ].map(([key = '', value = '']) => record(key, value, dice));
  const pax = Buffer.from(records.join(''));
  const body = Buffer.concat([map, data]);
  return Buffer.concat([
    header(dice, 'PaxHeader', 'x', pax.length, ''),
    padded(pax),
    header(dice, 'GNUSparseFile.0/x', '0', body.length, ''),
    padded(body),
  ]);
}

function header(dice: Dice, entryName: string, flag: string, size: number, linkname: string): Buffer {
  const block = Buffer.alloc(512);
  block.write(entryName, 0, 100, dice.rarely(4) ? 'latin1' : 'utf8');
  block.write(`0000${dice.pick(['644', '755', '777', '000'])}\0`, 100);
  block.write(`${size.toString(8).padStart(11, '0')}\0`, 124);
  // Negative and endless numbers, as base 256 has them.
  if (dice.rarely(40)) block.fill(dice.pick([0xff, 0x80, 0xc0]), 124, 136);
  block.write(`${dice.pick(['14712345670', '00000000000', '77777777777'])}\0`, 136);
  block.write(flag, 156, 'latin1');
  block.write(linkname, 157, 100);
  block.write(dice.pick(['ustar\x0000', 'ustar  \0']), 257, 'latin1');
  if (dice.rarely(10)) block.write(dice.pick(WAYS), 345, 155);
  block.fill(0x20, 148, 156);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${(dice.rarely(50) ? sum + 1 : sum).toString(8).padStart(6, '0')}\0 `, 148);
  return block;
}

function padded(body: Buffer): Buffer {
  return Buffer.concat([body, Buffer.alloc((512 - (body.length % 512)) % 512)]);
}
