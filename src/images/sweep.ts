import { rm } from 'node:fs/promises';
import path from 'node:path';

import type { CollectOptions, Garbage } from '../core/garbage.js';
import { bytesBelow } from '../store/disk-use.js';
import { acquireLock } from '../store/lock.js';
import { digestHex } from './digest.js';
import { fileStep } from './file-step.js';
import { GUEST_FILES } from './guest-files.js';
import { imageDirectory, IMAGE_FILES, type ImageDescription } from './image-files.js';
import { whenNobodyMakesImages, type Rooms } from './in-use.js';
import { allImages, allLayers, imagesOfVms, rootsOfGuests, usedAt } from './inventory.js';
import type { LayerStore } from './layer/store.js';
import { namesThatGo, type ImageRules } from './names-that-go.js';
import { Refs } from './refs.js';

/** A job may have resolved an image and not have written the record of its VM yet. */
const GRACE_MS = 5 * 60_000;

export interface SweepOptions extends Rooms, CollectOptions {
  readonly layers: LayerStore;
  readonly signal?: AbortSignal | undefined;
  /** The root that base guests are made of now; guests of another one go when there are no VMs. */
  readonly currentRoot: string | undefined;
  /** What takes the names of images away. Default: nothing does. */
  readonly rules?: ImageRules | undefined;
}

/** What a sweep did, or would do. */
export interface Swept {
  readonly garbage: readonly Garbage[];
  /** Why an image that nobody names was left, by its digest. */
  readonly kept: ReadonlyMap<string, string>;
}

/** Why images stay that no name keeps, by their digests. */
type Kept = ReadonlyMap<string, string>;

/**
 * Takes names away as the rules say, removes images that no name and no VM needs, then layers that no image needs. Anyone may
 * do so at any time.
 * @returns `undefined` when somebody makes images just now: then nothing is removed
 */
export function sweepImages(options: SweepOptions): Promise<Swept | undefined> {
  return whenNobodyMakesImages(options, async () => {
    const guests = await sweepGuests(options);
    const images = await allImages(options);
    const kept = await neededImages(images, options);
    const named = await takeNames(images, kept, options);
    const going = images.filter(({ digest }) => !named.has(digest) && !kept.has(digest));
    const garbage = [...guests];
    for (const image of going) garbage.push(await removeImage(image, options));
    const left = images.filter((image) => !going.includes(image));
    const needed = new Set(left.flatMap(({ layers }) => layers.map(({ diffId }) => diffId)));
    garbage.push(...(await removeLayers(needed, options)));
    return { garbage, kept: new Map([...kept].filter(([digest]) => !named.has(digest))) };
  });
}

/** The digests that have a name, when those have lost theirs that shall. */
async function takeNames(
  images: readonly ImageDescription[],
  kept: Kept,
  options: SweepOptions,
): Promise<ReadonlySet<string>> {
  const refs = new Refs(options.store);
  const all = await refs.list();
  const { rules } = options;
  if (rules === undefined) return new Set(all.map(({ digest }) => digest));
  const aged = await Promise.all(
    images.map(async (image) => ({ ...image, usedAt: await usedAt(options, image.digest) })),
  );
  const going = namesThatGo(aged, all, kept, rules, options.now);
  if (!options.dryRun) for (const { reference } of going) await refs.remove(reference);
  return new Set(all.filter((ref) => !going.includes(ref)).map(({ digest }) => digest));
}

async function neededImages(images: readonly ImageDescription[], options: SweepOptions): Promise<Kept> {
  const roots = new Set((await rootsOfGuests(options)).values());
  const vms = await imagesOfVms(options);
  const kept = new Map<string, string>();
  for (const { digest } of images) {
    if (vms === undefined) kept.set(digest, 'the record of a VM cannot be read');
    else if (vms.digests.has(digest)) kept.set(digest, 'a VM runs in it');
    else if (roots.has(digest)) kept.set(digest, 'VMs boot from it');
    else if (await isInGrace(digest, options)) kept.set(digest, 'it was asked for in the last 5 minutes');
  }
  return kept;
}

/** Base guests of an older default image, once no VM can have booted from them. */
async function sweepGuests(options: SweepOptions): Promise<Garbage[]> {
  if ((await imagesOfVms(options))?.hasVms !== false) return [];
  const garbage: Garbage[] = [];
  for (const [directory, root] of await rootsOfGuests(options)) {
    if (root === options.currentRoot || (await isInGrace(root, options))) continue;
    const bytes = await bytesBelow(path.join(directory, GUEST_FILES.initramfs));
    if (!options.dryRun) await fileStep('remove a guest', directory, rm(directory, { recursive: true, force: true }));
    garbage.push({ kind: 'guest', name: path.basename(directory), reason: 'made of an older default image', bytes });
  }
  return garbage;
}

async function isInGrace(digest: string, options: SweepOptions): Promise<boolean> {
  const since = options.now - (await usedAt(options, digest));
  return since >= 0 && since < GRACE_MS;
}

async function removeImage(
  { digest }: ImageDescription,
  { store, processes, signal, dryRun }: SweepOptions,
): Promise<Garbage> {
  const directory = imageDirectory(store, digest);
  const bytes = await bytesBelow(path.join(directory, IMAGE_FILES.metadata));
  const garbage: Garbage = { kind: 'image', name: digest, reason: 'has no name', bytes };
  if (dryRun) return garbage;
  const lock = await acquireLock(path.join(store.locks, `image-${digestHex(digest)}`), { processes, signal });
  try {
    // Without its description it is no image any more, whatever happens then.
    await fileStep('remove an image', directory, rm(path.join(directory, IMAGE_FILES.description), { force: true }));
    await fileStep('remove an image', directory, rm(directory, { recursive: true, force: true }));
    return garbage;
  } finally {
    await lock.release();
  }
}

async function removeLayers(needed: ReadonlySet<string>, options: SweepOptions): Promise<Garbage[]> {
  const garbage: Garbage[] = [];
  for (const diffId of await allLayers(options)) {
    if (needed.has(diffId)) continue;
    const bytes = await bytesBelow(options.layers.dataFile(diffId));
    if (!options.dryRun) await options.layers.remove(diffId, options.signal);
    garbage.push({ kind: 'layer', name: diffId, reason: 'is in no image', bytes });
  }
  return garbage;
}
