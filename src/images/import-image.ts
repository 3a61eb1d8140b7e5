import { stat } from 'node:fs/promises';
import { createWriteStream } from 'node:fs';
import path from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

import { abortReason } from '../core/deadline.js';
import { fileError, systemCode, VmRunnerError } from '../core/errors.js';
import { discardTemporary, makeTemporaryDirectory } from '../store/temporary.js';
import type { AssembleOptions } from './assemble.js';
import { EMPTY_CONFIG, type LocalImage } from './image.js';
import { readLocalImage } from './image-files.js';
import { compressionOf, decompressed } from './layer/compression.js';
import { LAYER_LIMITS } from './layer/limits.js';
import { readSource } from './layer/source.js';
import { imageOfConfig, makeLocalImage, nameImage } from './made-image.js';
import { Archive } from './oci/archive.js';
import { LayoutDirectory, noSuchPlace } from './oci/layout-directory.js';
import { readLayoutImage, readSavedImage, type FoundImage } from './oci/read-image.js';
import { Refs } from './refs.js';

/** An image in files of this host, whose path is absolute. */
export type LocalSource =
  | { readonly kind: 'oci'; readonly path: string; readonly tag: string | undefined }
  | { readonly kind: 'docker-archive' | 'rootfs'; readonly path: string };

/**
 * Takes an image of other programs into the store, under the name by which it was asked for. What is here already is not
 * read again.
 */
export async function importImage(
  source: LocalSource,
  reference: string,
  options: AssembleOptions,
): Promise<LocalImage> {
  switch (source.kind) {
    case 'oci': {
      const content = await LayoutDirectory.open(source.path);
      return importFound(await readLayoutImage(content, source.tag), reference, options);
    }
    case 'docker-archive':
      return withPlainFile(source.path, options, async (file) => {
        const content = await Archive.open(source.path, file);
        return importFound(await readSavedImage(content), reference, options);
      });
    case 'rootfs':
      return importRoot(source.path, reference, options);
  }
}

async function importFound(found: FoundImage, reference: string, options: AssembleOptions): Promise<LocalImage> {
  const { layers, log, signal } = options;
  let done = 0;
  for (const { diffId, source } of found.layers) {
    if (!(await layers.has(diffId))) {
      log.progress(`importing ${reference}: ${done} of ${found.layers.length} layers`);
      await layers.add(source, diffId, { log, signal });
    }
    done += 1;
  }
  const diffIds = found.layers.map(({ diffId }) => diffId);
  return nameImage(await imageOfConfig(found.config, found.manifest, diffIds, options), { reference }, options);
}

/** A tar of a whole root is an image of one layer. The same file is not read twice. */
async function importRoot(file: string, reference: string, options: AssembleOptions): Promise<LocalImage> {
  const key = await fileKey(file);
  const ref = await new Refs(options.store).read(reference);
  if (ref?.key === key) {
    const present = await readLocalImage(options.store, ref.digest, reference);
    if (present !== undefined) return present;
  }
  options.log.progress(`importing ${reference}`);
  const diffId = await options.layers.import({ file }, options);
  const history = [`import of ${path.basename(file)}`];
  return makeLocalImage({ diffIds: [diffId], config: EMPTY_CONFIG, history, ref: { reference, key } }, options);
}

async function fileKey(file: string): Promise<string> {
  try {
    const { dev, ino, size, mtimeNs } = await stat(file, { bigint: true });
    return [dev, ino, size, mtimeNs].join(':');
  } catch (cause) {
    throw noSuchPlace(file, cause);
  }
}

/** Archives are used where they are. One that is compressed as a whole has to be decompressed for that. */
async function withPlainFile<T>(
  file: string,
  { store, processes, signal }: AssembleOptions,
  work: (plain: string) => Promise<T>,
): Promise<T> {
  await fileKey(file);
  let start: Buffer = Buffer.alloc(0);
  for await (const piece of readSource({ file, length: 6 }, signal)) start = piece;
  if (compressionOf(start) === 'none') return work(file);
  const temporary = await makeTemporaryDirectory(store, processes);
  try {
    const plain = path.join(temporary, 'archive.tar');
    const bytes = Readable.from(bounded(decompressed(readSource({ file }, signal)), file), { objectMode: false });
    await pipeline(bytes, createWriteStream(plain, { flags: 'wx', mode: 0o600 })).catch((cause: unknown) => {
      if (signal.aborted) throw abortReason(signal);
      throw systemCode(cause) === undefined || cause instanceof VmRunnerError
        ? cause
        : fileError('unpack an image', plain, cause);
    });
    return await work(plain);
  } finally {
    await discardTemporary(temporary);
  }
}

async function* bounded(source: AsyncIterable<Buffer>, file: string): AsyncGenerator<Buffer> {
  let bytes = 0;
  for await (const piece of source) {
    bytes += piece.length;
    if (bytes > LAYER_LIMITS.rawBytes) {
      throw new VmRunnerError('image-invalid', `archive of more than ${LAYER_LIMITS.rawBytes} bytes`, {
        subject: file,
      });
    }
    yield piece;
  }
}
