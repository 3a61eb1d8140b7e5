import { readFile } from 'node:fs/promises';
import path from 'node:path';

import { fileError, systemCode, VmRunnerError } from '../core/errors.js';
import type { StorePaths } from '../store/paths.js';
import { parseConfig } from './config.js';
import { digestHex } from './digest.js';
import type { LocalImage } from './image.js';
import { JsonReader } from './json-reader.js';

/** Names of the files in the directory of an image. The description is written last: with it the image is whole. */
export const IMAGE_FILES = {
  metadata: 'root.meta',
  disk: 'root.vmdk',
  config: 'config.json',
  manifest: 'manifest.json',
  description: 'image.json',
} as const;

/** What an image is made of, for those who look after the store. */
export interface ImageDescription {
  readonly version: 1;
  readonly digest: string;
  /** From the bottom. */
  readonly layers: readonly { readonly diffId: string; readonly dataBytes: number }[];
  readonly metadataBytes: number;
  readonly diskBytes: number;
  /** When it was made on this host: milliseconds since 1970. */
  readonly createdAt: number;
}

export function imageDirectory(store: StorePaths, digest: string): string {
  return path.join(store.images, digestHex(digest));
}

/** `undefined` when there is no such image. @throws store-damaged */
export async function readDescription(store: StorePaths, digest: string): Promise<ImageDescription | undefined> {
  const directory = imageDirectory(store, digest);
  const file = path.join(directory, IMAGE_FILES.description);
  const bytes = await readOrNothing(file);
  if (bytes === undefined) return undefined;
  try {
    const document = JsonReader.parse(bytes, 'description');
    if (document.field('version').wholeNumber !== 1) throw new Error('has another version');
    return {
      version: 1,
      digest,
      layers: document
        .field('layers')
        .list()
        .map((layer) => {
          const diffId = layer.field('diffId').text;
          digestHex(diffId);
          return { diffId, dataBytes: layer.field('dataBytes').wholeNumber };
        }),
      metadataBytes: document.field('metadataBytes').wholeNumber,
      diskBytes: document.field('diskBytes').wholeNumber,
      createdAt: document.field('createdAt').wholeNumber,
    };
  } catch (cause) {
    throw new VmRunnerError('store-damaged', 'description of an image cannot be understood', {
      subject: file,
      hint: `Remove ${directory}: the image is made again at the next use.`,
      cause,
    });
  }
}

/** An image as its users need it; `undefined` when there is no such image. */
export async function readLocalImage(
  store: StorePaths,
  digest: string,
  reference: string,
): Promise<LocalImage | undefined> {
  const description = await readDescription(store, digest);
  if (description === undefined) return undefined;
  const { config } = parseConfig(await readImageFile(store, digest, 'config'));
  const disk = path.join(imageDirectory(store, digest), IMAGE_FILES.disk);
  return { reference, digest, disk, diskBytes: description.diskBytes, config };
}

export async function readImageFile(store: StorePaths, digest: string, name: 'config' | 'manifest'): Promise<Buffer> {
  const file = path.join(imageDirectory(store, digest), IMAGE_FILES[name]);
  const bytes = await readOrNothing(file);
  if (bytes !== undefined) return bytes;
  throw new VmRunnerError('store-damaged', 'file of an image is missing', {
    subject: file,
    hint: `Remove ${path.dirname(file)}: the image is made again at the next use.`,
  });
}

async function readOrNothing(file: string): Promise<Buffer | undefined> {
  try {
    return await readFile(file);
  } catch (cause) {
    if (systemCode(cause) === 'ENOENT') return undefined;
    throw fileError('read a file of an image', file, cause);
  }
}
