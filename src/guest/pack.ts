import type { BigIntStats } from 'node:fs';
import { lstat, open, readdir, readlink, type FileHandle } from 'node:fs/promises';
import path from 'node:path';

import { fileError, VmRunnerError } from '../core/errors.js';
import { regionsOf } from './sparse-file.js';
import { renderSparseMap, type Region } from './sparse-map.js';
import { END_OF_ARCHIVE, padding, renderHeader, type NewEntry } from './tar-writer.js';

export interface PackOptions {
  /** Told of each name that is not UTF-8 and was left out. Default: such a name is an error. */
  readonly onSkipped?: ((name: string) => void) | undefined;
  /** Only what every tar reads: no fractions of seconds, no holes. Default: all that our agent reads. */
  readonly plain?: boolean;
}

/** The tree that is being packed. */
interface Packing {
  readonly root: string;
  readonly onSkipped: (name: string) => void;
  readonly plain: boolean;
  /** Files with several names that were sent, by device and number, and the name that they were sent under. */
  readonly sent: Map<string, string>;
}

const READ_BYTES = 2 ** 18;
/** `stat` counts disk space in these. */
const STAT_BLOCK_BYTES = 512n;

/**
 * A host directory as a tar stream: directories, files (also sparse ones and such with several names), symbolic links, modes
 * and times; names are relative to it. Sockets, pipes and devices have no meaning in another machine and are left out.
 * Owners are the guest's affair.
 */
export async function* packTree(directory: string, options: PackOptions = {}): AsyncGenerator<Uint8Array> {
  const { onSkipped = refuseName, plain = false } = options;
  yield* packDirectory({ root: directory, onSkipped, plain, sent: new Map() }, '');
  yield END_OF_ARCHIVE;
}

/** Whoever does not ask to be told gets no tree with holes. */
function refuseName(name: string): never {
  throw new VmRunnerError('invalid-input', 'name of a file is not UTF-8', { subject: name, hint: 'Rename it.' });
}

async function* packDirectory(packing: Packing, name: string): AsyncGenerator<Uint8Array> {
  const directory = path.join(packing.root, name);
  const entries = await onHost('list a directory', directory, () => readdir(directory, { encoding: 'buffer' }));
  const names: string[] = [];
  for (const entry of entries) {
    const text = entry.toString('utf8');
    if (Buffer.from(text).equals(entry)) names.push(text);
    else packing.onSkipped(path.join(directory, text));
  }
  for (const entry of names.sort()) yield* packEntry(packing, name === '' ? entry : `${name}/${entry}`);
}

async function* packEntry(packing: Packing, name: string): AsyncGenerator<Uint8Array> {
  const { sent } = packing;
  const source = path.join(packing.root, name);
  const stat = await onHost('read', source, () => lstat(source, { bigint: true }));
  const header = (rest: Pick<NewEntry, 'flag'> & Partial<NewEntry>): Buffer =>
    renderHeader(
      {
        name,
        mode: Number(stat.mode & 0o7777n),
        size: 0,
        mtimeNanos: stat.mtimeNs,
        linkname: '',
        sparseSize: undefined,
        ...rest,
      },
      { pax: !packing.plain },
    );
  if (stat.isDirectory()) {
    yield header({ flag: '5' });
    yield* packDirectory(packing, name);
  } else if (stat.isSymbolicLink()) {
    yield header({ flag: '2', linkname: await onHost('read a link', source, () => readlink(source)) });
  } else if (stat.isFile()) {
    const identity = `${stat.dev}:${stat.ino}`;
    const linkname = stat.nlink > 1n ? sent.get(identity) : undefined;
    if (linkname !== undefined) {
      yield header({ flag: '1', linkname });
      return;
    }
    yield* packFile(source, stat, packing.plain, header);
    if (stat.nlink > 1n) sent.set(identity, name);
  }
}

async function* packFile(
  source: string,
  stat: BigIntStats,
  plain: boolean,
  header: (rest: Pick<NewEntry, 'flag' | 'size' | 'sparseSize'>) => Buffer,
): AsyncGenerator<Uint8Array> {
  const fileSize = Number(stat.size);
  const file = await onHost('read a file', source, () => open(source));
  try {
    const isSparse = !plain && stat.blocks * STAT_BLOCK_BYTES < stat.size;
    const regions = isSparse
      ? await onHost('read a file', source, () => regionsOf(file, fileSize))
      : [{ offset: 0, length: fileSize }];
    const map = isSparse ? renderSparseMap(regions) : Buffer.alloc(0);
    const size = map.length + regions.reduce((sum, { length }) => sum + length, 0);
    yield header({ flag: '0', size, sparseSize: isSparse ? fileSize : undefined });
    if (map.length > 0) yield map;
    yield* bytesOf(file, regions, source);
    yield padding(size);
  } finally {
    await file.close();
  }
}

/** Exactly these parts: what was appended to the file meanwhile is left out, what is missing is an error. */
async function* bytesOf(file: FileHandle, regions: readonly Region[], source: string): AsyncGenerator<Uint8Array> {
  for (const { offset, length } of regions) {
    for (let done = 0; done < length;) {
      const most = Math.min(READ_BYTES, length - done);
      const { bytesRead, buffer } = await onHost('read a file', source, () =>
        file.read(Buffer.allocUnsafe(most), 0, most, offset + done),
      );
      if (bytesRead === 0) {
        throw new VmRunnerError('invalid-input', 'file became shorter while it was copied into the guest', {
          subject: source,
        });
      }
      done += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
  }
}

async function onHost<T>(action: string, subject: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if (cause instanceof VmRunnerError) throw cause;
    throw fileError(action, subject, cause);
  }
}
