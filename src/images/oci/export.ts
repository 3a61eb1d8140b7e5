import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { Readable, type Duplex } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';

import { abortReason } from '../../core/deadline.js';
import { fileError, systemCode, VmRunnerError } from '../../core/errors.js';
import { imageArchitecture } from '../architecture.js';
import type { AssembleOptions } from '../assemble.js';
import { changeConfig } from '../config.js';
import { digestHex, digestOf } from '../digest.js';
import { fileStep } from '../file-step.js';
import { readDescription, readImageFile } from '../image-files.js';
import { END_OF_ARCHIVE, fileHeader, padding, writeTar } from '../layer/tar-writer.js';
import { CONFIG_TYPE, MANIFEST_TYPE, renderManifest, TAR_GZIP_TYPE, type Descriptor } from '../manifest.js';

const BLOBS = 'blobs/sha256';

/**
 * Writes an image of the store as OCI lays it out.
 * @param target a directory that is not there yet or is empty, or a file whose name ends with `.tar`
 * @param name what it is called in there
 * @returns the digest of its manifest
 */
export async function exportImage(
  digest: string,
  target: string,
  name: string,
  options: AssembleOptions,
): Promise<string> {
  const isTar = target.endsWith('.tar');
  await checkTarget(target, isTar);
  const directory = `${target}.part`;
  await fileStep('remove a directory', directory, rm(directory, { recursive: true, force: true }));
  try {
    await fileStep('make a directory', directory, mkdir(path.join(directory, BLOBS), { recursive: true }));
    const written = await writeLayout(digest, directory, name, options);
    if (isTar) await packDirectory(directory, target);
    else {
      await fileStep('replace a directory', target, rm(target, { recursive: true, force: true }));
      await fileStep('move an image into its place', target, rename(directory, target));
    }
    return written;
  } catch (error) {
    throw options.signal.aborted ? abortReason(options.signal) : error;
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function checkTarget(target: string, isTar: boolean): Promise<void> {
  try {
    const isFree = isTar ? (await stat(target)).isFile() : (await readdir(target)).length === 0;
    if (isFree) return;
  } catch (cause) {
    if (systemCode(cause) === 'ENOENT') return;
    if (systemCode(cause) !== 'ENOTDIR') throw fileError('look at a directory', target, cause);
  }
  throw new VmRunnerError('invalid-input', 'something else is there already', {
    subject: target,
    hint: 'Name an empty directory, one that is not there yet, or a file that ends with .tar.',
  });
}

async function writeLayout(digest: string, directory: string, name: string, options: AssembleOptions): Promise<string> {
  const { store, layers, log } = options;
  const description = await readDescription(store, digest);
  if (description === undefined) throw new VmRunnerError('image-unavailable', 'no such image', { subject: digest });
  const written: (Descriptor & { readonly diffId: string })[] = [];
  for (const { diffId } of description.layers) {
    log.progress(`exporting ${name}: ${written.length} of ${description.layers.length} layers`);
    const index = await layers.index(diffId);
    written.push(await writeLayer(writeTar(index, layers.dataFile(diffId)), directory));
  }
  const writeBlob = async (bytes: Buffer): Promise<string> => {
    const file = path.join(directory, BLOBS, digestHex(digestOf(bytes)));
    await fileStep('write a file', file, writeFile(file, bytes));
    return digestOf(bytes);
  };
  const config = changeConfig(await readImageFile(store, digest, 'config'), {
    diffIds: written.map(({ diffId }) => diffId),
  });
  const manifest = renderManifest({
    config: { mediaType: CONFIG_TYPE, digest: await writeBlob(config), size: config.length },
    layers: written.map((layer) => ({ mediaType: TAR_GZIP_TYPE, digest: layer.digest, size: layer.size })),
  });
  const manifestDigest = await writeBlob(manifest);
  const index = {
    schemaVersion: 2,
    manifests: [
      {
        ...{ mediaType: MANIFEST_TYPE, digest: manifestDigest, size: manifest.length },
        annotations: { 'org.opencontainers.image.ref.name': name },
        platform: { os: 'linux', architecture: imageArchitecture() },
      },
    ],
  };
  const write = (file: string, value: unknown): Promise<void> =>
    fileStep('write a file', file, writeFile(path.join(directory, file), JSON.stringify(value)));
  await write('index.json', index);
  await write('oci-layout', { imageLayoutVersion: '1.0.0' });
  return manifestDigest;
}

/** Packs a tar into a blob that is named after what comes of it. */
async function writeLayer(
  tar: AsyncIterable<Buffer>,
  directory: string,
): Promise<Descriptor & { readonly diffId: string }> {
  const [raw, compressed] = [createHash('sha256'), createHash('sha256')];
  let size = 0;
  async function* hashed(): AsyncGenerator<Buffer> {
    for await (const piece of tar) {
      raw.update(piece);
      yield piece;
    }
  }
  const gzip = createGzip();
  gzip.on('data', (piece: Buffer) => {
    compressed.update(piece);
    size += piece.length;
  });
  const part = path.join(directory, 'layer.part');
  await toFile([Readable.from(hashed(), { objectMode: false }), gzip], part);
  const hex = compressed.digest('hex');
  await fileStep('move a file', part, rename(part, path.join(directory, BLOBS, hex)));
  return { mediaType: TAR_GZIP_TYPE, digest: `sha256:${hex}`, size, diffId: `sha256:${raw.digest('hex')}` };
}

async function packDirectory(directory: string, target: string): Promise<void> {
  const blobs = await fileStep('list a directory', directory, readdir(path.join(directory, BLOBS)));
  const names = ['oci-layout', 'index.json', ...blobs.sort().map((blob) => `${BLOBS}/${blob}`)];
  async function* archive(): AsyncGenerator<Buffer> {
    for (const name of names) {
      const { size } = await stat(path.join(directory, name));
      yield fileHeader(name, size);
      for await (const piece of createReadStream(path.join(directory, name))) yield piece as Buffer;
      yield padding(size);
    }
    yield END_OF_ARCHIVE;
  }
  const part = path.join(directory, 'archive.part');
  await toFile([Readable.from(archive(), { objectMode: false })], part);
  await fileStep('move a file', target, rename(part, target));
}

async function toFile(streams: readonly (Readable | Duplex)[], file: string): Promise<void> {
  try {
    await pipeline([...streams, createWriteStream(file, { flags: 'wx' })]);
  } catch (cause) {
    throw cause instanceof VmRunnerError ? cause : fileError('write a file', file, cause);
  }
}
