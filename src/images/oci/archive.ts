import { open, type FileHandle } from 'node:fs/promises';
import path from 'node:path';

import { fileError, VmRunnerError } from '../../core/errors.js';
import { LAYER_LIMITS, layerError } from '../layer/limits.js';
import { readPax, type Extras } from '../layer/pax.js';
import { HEADER_BYTES, parseHeader } from '../layer/tar-header.js';
import type { ImageContent, Piece } from './content.js';
import { noSuchPlace } from './layout-directory.js';

/** An archive holds a few files for each layer. */
const MOST_ENTRIES = 100_000;
const MOST_LINKS = 10;

type Entry = { readonly kind: 'file'; readonly piece: Piece } | { readonly kind: 'link'; readonly target: string };

/** A tar that holds images. Only its headers are read; files in it are used where they are. */
export class Archive implements ImageContent {
  readonly name: string;
  readonly #entries: ReadonlyMap<string, Entry>;

  private constructor(name: string, entries: ReadonlyMap<string, Entry>) {
    this.name = name;
    this.#entries = entries;
  }

  /**
   * @param name for sentences
   * @param file not compressed
   * @throws image-invalid when it is no tar.
   */
  static async open(name: string, file: string): Promise<Archive> {
    const handle = await open(file, 'r').catch((cause: unknown) => {
      throw noSuchPlace(file, cause);
    });
    try {
      return new Archive(name, await readEntries(file, handle));
    } catch (cause) {
      throw cause instanceof VmRunnerError ? cause : fileError('read an image', file, cause);
    } finally {
      await handle.close();
    }
  }

  /** Older versions of Docker save a layer once, and links to it. */
  locate(name: string): Promise<Piece | undefined> {
    let at = path.posix.normalize(name);
    for (let links = 0; links <= MOST_LINKS; links += 1) {
      const entry = this.#entries.get(at);
      if (entry?.kind !== 'link') return Promise.resolve(entry?.piece);
      at = path.posix.normalize(path.posix.join(path.posix.dirname(at), entry.target));
    }
    return Promise.resolve(undefined);
  }
}

async function readEntries(file: string, handle: FileHandle): Promise<Map<string, Entry>> {
  const { size: fileBytes } = await handle.stat();
  const entries = new Map<string, Entry>();
  let extras: Extras = {};
  for (let at = 0, count = 0; at < fileBytes; count += 1) {
    const block = await readAt(handle, at, HEADER_BYTES);
    if (block.length < HEADER_BYTES) throw layerError('archive that ends in its middle');
    const header = parseHeader(block);
    if (header === undefined) break;
    if (count > MOST_ENTRIES) throw layerError(`archive with more than ${MOST_ENTRIES} entries`);
    const size = 'xgLK'.includes(header.flag) ? header.size : (extras.size ?? header.size);
    const offset = at + HEADER_BYTES;
    if (size < 0 || offset + size > fileBytes) throw layerError('archive that ends in its middle', header.name);
    at = offset + Math.ceil(size / HEADER_BYTES) * HEADER_BYTES;
    if ('xgLK'.includes(header.flag)) {
      if (size > LAYER_LIMITS.extraBytes) throw layerError('archive with an endless header', header.name);
      readExtra(header.flag, await readAt(handle, offset, size), extras);
      continue;
    }
    const name = path.posix.normalize(extras.path ?? header.name);
    const target = extras.linkpath ?? header.linkname;
    if (header.flag === '0' || header.flag === '7') {
      entries.set(name, { kind: 'file', piece: { file, offset, length: size } });
    } else if (header.flag === '2') {
      entries.set(name, { kind: 'link', target });
    } else if (header.flag === '1') {
      entries.set(name, { kind: 'link', target: path.posix.relative(path.posix.dirname(name), target) });
    }
    extras = {};
  }
  return entries;
}

async function readAt(handle: FileHandle, position: number, length: number): Promise<Buffer> {
  const { buffer, bytesRead } = await handle.read({ buffer: Buffer.alloc(length), position });
  return buffer.subarray(0, bytesRead);
}

function readExtra(flag: string, body: Buffer, extras: Extras): void {
  const text = (): string => body.toString('latin1').replace(/\0.*$/s, '');
  if (flag === 'x') readPax(body, extras);
  if (flag === 'L') extras.path = text();
  if (flag === 'K') extras.linkpath = text();
}
