import { open } from 'node:fs/promises';

import { fileError } from '../../core/errors.js';
import type { LayerEntry } from './entry.js';
import type { LayerIndex } from './index-file.js';
import { BLOCK_BYTES } from './limits.js';
import { HEADER_BYTES } from './tar-header.js';

const FLAGS = {
  file: '0',
  hardlink: '1',
  symlink: '2',
  'character-device': '3',
  'block-device': '4',
  directory: '5',
  fifo: '6',
} as const;
const LONGEST_SHORT_NAME = 100;
const LARGEST_OCTAL_ID = 8 ** 7 - 1;
const LARGEST_OCTAL_SIZE = 8 ** 11 - 1;
const CHUNK_BYTES = 2 ** 20;
const END_OF_ARCHIVE = Buffer.alloc(2 * HEADER_BYTES);

/** A layer's tar, made anew of its index and data. It says the same as the one that came, in perhaps other bytes. */
export async function* writeTar(index: LayerIndex, dataFile: string): AsyncGenerator<Buffer> {
  const data = await open(dataFile, 'r').catch((cause: unknown) => {
    throw fileError('read a layer', dataFile, cause);
  });
  try {
    for (const entry of index.entries) {
      yield renderHeader(entry);
      for (let at = 0; at < entry.size; at += CHUNK_BYTES) {
        const length = Math.min(CHUNK_BYTES, entry.size - at);
        const position = entry.block * BLOCK_BYTES + at;
        const { bytesRead, buffer } = await data
          .read({ buffer: Buffer.alloc(length), position })
          .catch((cause: unknown) => {
            throw fileError('read a layer', dataFile, cause);
          });
        if (bytesRead < length)
          throw fileError('read a layer', dataFile, new Error('it is shorter than its index says'));
        yield buffer;
      }
      if (entry.size > 0) yield padding(entry.size);
    }
    yield END_OF_ARCHIVE;
  } finally {
    await data.close();
  }
}

/** A file of an archive that we make ourselves. */
export function fileHeader(path: string, size: number): Buffer {
  return renderHeader({
    ...{ kind: 'file', path, size, mode: 0o644, uid: 0, gid: 0, seconds: 0, nanoseconds: 0, block: 0 },
    ...{ target: '', major: 0, minor: 0, xattrs: [] },
  });
}

export { END_OF_ARCHIVE };

export function padding(size: number): Buffer {
  return Buffer.alloc((HEADER_BYTES - (size % HEADER_BYTES)) % HEADER_BYTES);
}

/** The blocks before the bytes of an entry: what the header cannot hold is told in PAX records before it. */
function renderHeader(entry: LayerEntry): Buffer {
  const path = entry.kind === 'directory' ? `${entry.path}/` : entry.path;
  const name = path === '/' ? './' : path;
  const records = paxRecords(entry, name);
  const header = block(entry, name, FLAGS[entry.kind], entry.size);
  if (records.length === 0) return header;
  const body = Buffer.concat(records);
  const extended = block({ ...entry, target: '', major: 0, minor: 0, mode: 0o644 }, 'PaxHeaders', 'x', body.length);
  return Buffer.concat([extended, body, padding(body.length), header]);
}

function paxRecords(entry: LayerEntry, name: string): Buffer[] {
  const records: Buffer[] = [];
  const add = (key: string, value: Buffer): void => void records.push(paxRecord(key, value));
  const addText = (key: string, value: string): void => add(key, Buffer.from(value, 'latin1'));
  if (name.length > LONGEST_SHORT_NAME) addText('path', name);
  if (entry.target.length > LONGEST_SHORT_NAME) addText('linkpath', entry.target);
  if (entry.size > LARGEST_OCTAL_SIZE) addText('size', String(entry.size));
  if (entry.uid > LARGEST_OCTAL_ID) addText('uid', String(entry.uid));
  if (entry.gid > LARGEST_OCTAL_ID) addText('gid', String(entry.gid));
  if (entry.nanoseconds > 0 || entry.seconds < 0 || entry.seconds > LARGEST_OCTAL_SIZE) addText('mtime', time(entry));
  for (const xattr of entry.xattrs) add(`SCHILY.xattr.${xattr.name}`, xattr.value);
  return records;
}

function time({ seconds, nanoseconds }: LayerEntry): string {
  if (nanoseconds === 0) return String(seconds);
  const isNegative = seconds < 0;
  const whole = isNegative ? -seconds - 1 : seconds;
  const fraction = isNegative ? 1_000_000_000 - nanoseconds : nanoseconds;
  return `${isNegative ? '-' : ''}${whole}.${String(fraction).padStart(9, '0')}`;
}

/** The length at its front counts itself. */
function paxRecord(key: string, value: Buffer): Buffer {
  const rest = Buffer.concat([Buffer.from(` ${key}=`, 'latin1'), value, Buffer.from('\n')]);
  let length = rest.length + 1;
  while (String(length).length + rest.length !== length) length = String(length).length + rest.length;
  return Buffer.concat([Buffer.from(String(length)), rest]);
}

function block(entry: LayerEntry, name: string, flag: string, size: number): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  const number = (value: number, at: number, length: number): void => {
    const most = 8 ** (length - 1) - 1;
    header.write(
      `${Math.min(Math.max(value, 0), most)
        .toString(8)
        .padStart(length - 1, '0')}\0`,
      at,
      'latin1',
    );
  };
  header.write(name.slice(0, LONGEST_SHORT_NAME), 0, 'latin1');
  number(entry.mode, 100, 8);
  number(entry.uid > LARGEST_OCTAL_ID ? 0 : entry.uid, 108, 8);
  number(entry.gid > LARGEST_OCTAL_ID ? 0 : entry.gid, 116, 8);
  number(size > LARGEST_OCTAL_SIZE ? 0 : size, 124, 12);
  number(entry.seconds, 136, 12);
  header.write(flag, 156, 'latin1');
  header.write(entry.target.slice(0, LONGEST_SHORT_NAME), 157, 'latin1');
  header.write('ustar\x0000', 257, 'latin1');
  number(entry.major, 329, 8);
  number(entry.minor, 337, 8);
  header.fill(0x20, 148, 156);
  let sum = 0;
  for (const byte of header) sum += byte;
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return header;
}
