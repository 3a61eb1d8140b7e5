import { rm, stat } from 'node:fs/promises';
import path from 'node:path';

import { acquireLock } from '../store/lock.js';
import { digestHex } from './digest.js';
import { fileStep } from './file-step.js';
import { GUEST_FILES } from './guest-files.js';
import { imageDirectory, IMAGE_FILES, type ImageDescription } from './image-files.js';
import { whenNobodyMakesImages, type Rooms } from './in-use.js';
import { allImages, allLayers, imagesOfVms, rootsOfGuests, usedAt } from './inventory.js';
import { isThere } from './finished.js';
import type { LayerStore } from './layer/store.js';
import { Refs } from './refs.js';

/** A job may have resolved an image and not have written the record of its VM yet. */
const GRACE_MS = 5 * 60_000;

export interface SweepOptions extends Rooms {
  readonly layers: LayerStore;
  readonly signal?: AbortSignal | undefined;
  /** The root that base guests are made of now; guests of another one go when there are no VMs. */
  readonly currentRoot: string | undefined;
}

/** What a sweep did. */
export interface Swept {
  readonly freedBytes: number;
  /** Why an image that nobody names was left, by its digest. */
  readonly kept: ReadonlyMap<string, string>;
}

/**
 * Removes images that no name and no VM needs, then layers that no image needs. Anyone may do so at any time.
 * @returns `undefined` when somebody makes images just now: then nothing is removed
 */
export function sweepImages(options: SweepOptions): Promise<Swept | undefined> {
  return whenNobodyMakesImages(options, async () => {
    const guestBytes = await sweepGuests(options);
    const images = await allImages(options);
    const { going, kept } = await choose(images, options);
    let freedBytes = guestBytes;
    for (const image of going) freedBytes += await removeImage(image, options);
    const left = images.filter((image) => !going.includes(image));
    freedBytes += await removeLayers(
      new Set(left.flatMap(({ layers }) => layers.map(({ diffId }) => diffId))),
      options,
    );
    return { freedBytes, kept };
  });
}

async function choose(
  images: readonly ImageDescription[],
  options: SweepOptions,
): Promise<{ readonly going: readonly ImageDescription[]; readonly kept: ReadonlyMap<string, string> }> {
  const named = new Set((await new Refs(options.store).list()).map(({ digest }) => digest));
  const roots = new Set((await rootsOfGuests(options)).values());
  const vms = await imagesOfVms(options);
  const kept = new Map<string, string>();
  const going: ImageDescription[] = [];
  for (const image of images) {
    const { digest } = image;
    if (named.has(digest)) continue;
    if (vms === undefined) kept.set(digest, 'the record of a VM cannot be read');
    else if (vms.digests.has(digest)) kept.set(digest, 'a VM runs in it');
    else if (roots.has(digest)) kept.set(digest, 'VMs boot from it');
    else if (await isInGrace(digest, options)) kept.set(digest, 'it was asked for in the last 5 minutes');
    else going.push(image);
  }
  return { going, kept };
}

/** Base guests of an older default image, once no VM can have booted from them. */
async function sweepGuests(options: SweepOptions): Promise<number> {
  if ((await imagesOfVms(options))?.hasVms !== false) return 0;
  let bytes = 0;
  for (const [directory, root] of await rootsOfGuests(options)) {
    if (root === options.currentRoot || (await isInGrace(root, options))) continue;
    bytes += await bytesOf(path.join(directory, GUEST_FILES.initramfs));
    await fileStep('remove a guest', directory, rm(directory, { recursive: true, force: true }));
  }
  return bytes;
}

async function isInGrace(digest: string, rooms: Rooms): Promise<boolean> {
  const since = Date.now() - (await usedAt(rooms, digest));
  return since >= 0 && since < GRACE_MS;
}

async function removeImage({ digest }: ImageDescription, { store, processes, signal }: SweepOptions): Promise<number> {
  const directory = imageDirectory(store, digest);
  const lock = await acquireLock(path.join(store.locks, `image-${digestHex(digest)}`), { processes, signal });
  try {
    const bytes = await bytesOf(path.join(directory, IMAGE_FILES.metadata));
    // Without its description it is no image any more, whatever happens then.
    await fileStep('remove an image', directory, rm(path.join(directory, IMAGE_FILES.description), { force: true }));
    await fileStep('remove an image', directory, rm(directory, { recursive: true, force: true }));
    return bytes;
  } finally {
    await lock.release();
  }
}

async function removeLayers(needed: ReadonlySet<string>, options: SweepOptions): Promise<number> {
  let bytes = 0;
  for (const diffId of await allLayers(options)) {
    if (needed.has(diffId)) continue;
    bytes += await bytesOf(options.layers.dataFile(diffId));
    await options.layers.remove(diffId, options.signal);
  }
  return bytes;
}

/** What a file takes of the disk. */
async function bytesOf(file: string): Promise<number> {
  if (!(await isThere(file))) return 0;
  return (await fileStep('look at a file', file, stat(file))).blocks * 512;
}
