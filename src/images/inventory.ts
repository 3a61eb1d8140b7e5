import { readdir, stat } from 'node:fs/promises';
import path from 'node:path';

import { fileError, systemCode } from '../core/errors.js';
import { VmRecords } from '../store/vms.js';
import { readGuestDescription } from './guest-files.js';
import { imageDirectory, readDescription, type ImageDescription } from './image-files.js';
import type { Rooms } from './in-use.js';
import type { StoredImage } from './library.js';
import { Refs, type Ref } from './refs.js';

/** All images that are whole. */
export async function allImages({ store }: Rooms): Promise<readonly ImageDescription[]> {
  const found = await Promise.all(
    (await namesIn(store.images)).filter(isHex).map((hex) => readDescription(store, `sha256:${hex}`)),
  );
  return found.filter((image) => image !== undefined);
}

/** Digests of all layers that are here, in whatever state. */
export async function allLayers({ store }: Rooms): Promise<readonly string[]> {
  return (await namesIn(store.layers)).filter(isHex).map((hex) => `sha256:${hex}`);
}

/** The images of this store, for people. Those without a name are left out unless a VM needs them. */
export async function listImages(rooms: Rooms): Promise<readonly StoredImage[]> {
  const images = await allImages(rooms);
  const refs = await new Refs(rooms.store).list();
  const counts = new Map<string, number>();
  for (const { layers } of images) {
    for (const diffId of new Set(layers.map((layer) => layer.diffId))) {
      counts.set(diffId, (counts.get(diffId) ?? 0) + 1);
    }
  }
  return images
    .map((image) => describe(image, refs, counts))
    .sort((a, b) => ((a.references[0] ?? '') < (b.references[0] ?? '') ? -1 : 1));
}

function describe(image: ImageDescription, refs: readonly Ref[], counts: ReadonlyMap<string, number>): StoredImage {
  const own = refs.filter(({ digest }) => digest === image.digest);
  const ownLayers = image.layers.filter(({ diffId }) => counts.get(diffId) === 1);
  return {
    references: own.map(({ reference }) => reference),
    digest: image.digest,
    layers: image.layers.length,
    diskBytes: image.diskBytes,
    ownBytes: ownLayers.reduce((sum, { dataBytes }) => sum + dataBytes, image.metadataBytes),
    createdAt: image.createdAt,
    pulledAt: Math.max(image.createdAt, ...own.map(({ pulledAt }) => pulledAt)),
    comment: own.find(({ comment }) => comment !== undefined)?.comment,
  };
}

/** Digests of the images that VMs run in now, and whether there are VMs; `undefined` when that cannot be told. */
export async function imagesOfVms({
  store,
  processes,
}: Rooms): Promise<{ readonly digests: ReadonlySet<string>; readonly hasVms: boolean } | undefined> {
  const { records, damaged } = await new VmRecords(store, processes).list();
  if (damaged.length > 0) return undefined;
  const digests = records.map(({ imageDigest }) => imageDigest);
  return { digests: new Set(digests.filter((digest) => digest !== undefined)), hasVms: records.length > 0 };
}

/** Roots of the base guests, by the directory of the guest. */
export async function rootsOfGuests({ store }: Rooms): Promise<ReadonlyMap<string, string>> {
  const roots = new Map<string, string>();
  for (const name of (await namesIn(store.guests)).filter(isHex)) {
    const directory = path.join(store.guests, name);
    const description = await readGuestDescription(directory);
    if (description !== undefined) roots.set(directory, description.root);
  }
  return roots;
}

/** When somebody last resolved an image: milliseconds since 1970. */
export async function usedAt({ store }: Rooms, digest: string): Promise<number> {
  try {
    return (await stat(imageDirectory(store, digest))).mtimeMs;
  } catch (cause) {
    if (systemCode(cause) === 'ENOENT') return 0;
    throw fileError('look at an image', imageDirectory(store, digest), cause);
  }
}

async function namesIn(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (cause) {
    throw fileError('list a directory of the store', directory, cause);
  }
}

function isHex(name: string): boolean {
  return /^[0-9a-f]{64}$/.test(name);
}
