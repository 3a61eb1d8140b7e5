import { readFile } from 'node:fs/promises';
import path from 'node:path';

import { toVmRunnerError } from '../core/errors.js';
import type { Finding } from '../core/finding.js';
import { metadataOf } from './assemble.js';
import { fileStep } from './file-step.js';
import { imageDirectory, IMAGE_FILES, type ImageDescription } from './image-files.js';
import type { Rooms } from './in-use.js';
import { allImages, allLayers } from './inventory.js';
import { LAYER_FILES } from './layer/files.js';
import type { LayerStore } from './layer/store.js';
import { damageOf } from './layer/sums.js';

const REMEDY = 'Remove that directory: it is made again at the next use of the image.';

/** Reads everything that images are made of, and compares it with what was written. Takes seconds for each gigabyte. */
export async function verifyImages(
  rooms: Rooms,
  layers: LayerStore,
  context: { readonly signal: AbortSignal; readonly onProgress: (text: string) => void },
): Promise<readonly Finding[]> {
  const findings: Finding[] = [];
  const diffIds = await allLayers(rooms);
  for (const [index, diffId] of diffIds.entries()) {
    context.onProgress(`reading layer ${index + 1} of ${diffIds.length}`);
    const directory = layers.directory(diffId);
    const damage = await attempt(() => damageOf(directory, context.signal), context.signal);
    if (damage !== undefined) findings.push(problem('layer', `${damage}. ${REMEDY}`));
  }
  const images = await allImages(rooms);
  for (const image of images) {
    const damage = await attempt(() => damageOfImage(image, rooms, layers), context.signal);
    if (damage !== undefined) findings.push(problem('image', `${damage}. ${REMEDY}`));
  }
  if (findings.length > 0) return findings;
  return [{ level: 'ok', subject: 'images', text: `${diffIds.length} layers and ${images.length} images are sound` }];
}

async function damageOfImage(
  image: ImageDescription,
  { store }: Rooms,
  layers: LayerStore,
): Promise<string | undefined> {
  const directory = imageDirectory(store, image.digest);
  for (const { diffId } of image.layers) {
    if (!(await layers.has(diffId))) return `${directory} lacks its layer ${path.join(diffId, LAYER_FILES.data)}`;
  }
  const file = path.join(directory, IMAGE_FILES.metadata);
  const found = await fileStep('read an image', file, readFile(file));
  const diffIds = image.layers.map(({ diffId }) => diffId);
  const { bytes } = await metadataOf(diffIds, layers);
  return found.equals(bytes) ? undefined : `${file} is not what its layers give`;
}

async function attempt(look: () => Promise<string | undefined>, signal: AbortSignal): Promise<string | undefined> {
  try {
    return await look();
  } catch (error) {
    if (signal.aborted) throw error;
    return toVmRunnerError(error).message.replace(/\.$/, '');
  }
}

function problem(subject: string, text: string): Finding {
  return { level: 'problem', subject, text };
}
