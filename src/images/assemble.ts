import path from 'node:path';

import { VmRunnerError } from '../core/errors.js';
import type { ProcessTable } from '../core/process-identity.js';
import { formatSize } from '../core/units.js';
import { acquireLock } from '../store/lock.js';
import type { StorePaths } from '../store/paths.js';
import { writeWhole } from '../store/whole-file.js';
import { checkPlatform } from './architecture.js';
import { parseConfig } from './config.js';
import { digestHex, digestOf } from './digest.js';
import { erofsMetadata } from './erofs/image.js';
import { SCRATCH_BYTES } from './image.js';
import { IMAGE_FILES, imageDirectory, readDescription, type ImageDescription } from './image-files.js';
import { intoPlace } from './into-place.js';
import { BLOCK_BYTES } from './layer/limits.js';
import { LAYER_FILES } from './layer/files.js';
import type { LayerContext, LayerStore } from './layer/store.js';
import { MergedTree } from './merge/merge.js';
import { parseManifest } from './manifest.js';
import { vmdkDescriptor } from './vmdk.js';

export interface ImageParts {
  /** Of the manifest's bytes. */
  readonly digest: string;
  readonly manifest: Uint8Array;
  readonly config: Uint8Array;
  /** From the bottom; all of them are in the layer store. */
  readonly diffIds: readonly string[];
}

export interface AssembleOptions extends LayerContext {
  readonly store: StorePaths;
  readonly processes: ProcessTable;
  readonly layers: LayerStore;
}

/**
 * Makes an image of layers: a few files that show them as one disk. Nothing of the layers is copied. Idempotent.
 * @throws image-invalid for parts that do not belong together, an image for other machines, or one that is too large.
 */
export async function assembleImage(parts: ImageParts, options: AssembleOptions): Promise<ImageDescription> {
  const { store, processes, log, signal } = options;
  const present = await readDescription(store, parts.digest);
  if (present !== undefined) return present;
  checkParts(parts);
  const lock = await acquireLock(path.join(store.locks, `image-${digestHex(parts.digest)}`), {
    processes,
    signal,
    onWait: (holder) => log.info(`waiting for process ${holder.pid}, which is making the same image`),
  });
  try {
    return (await readDescription(store, parts.digest)) ?? (await make(parts, options));
  } finally {
    await lock.release();
  }
}

function checkParts({ digest, manifest, config, diffIds }: ImageParts): void {
  const disagreement = (what: string): VmRunnerError =>
    new VmRunnerError('image-invalid', `image whose ${what}`, {
      subject: digest,
      hint: 'It was damaged on its way, or made wrong: build or fetch it again.',
    });
  if (digestOf(manifest) !== digest) throw disagreement('manifest has another digest');
  if (parseManifest(manifest).config.digest !== digestOf(config))
    throw disagreement('configuration has another digest');
  const parsed = parseConfig(config);
  if (JSON.stringify(parsed.diffIds) !== JSON.stringify(diffIds)) {
    throw disagreement('configuration names other layers than its manifest');
  }
  checkPlatform(parsed, digest);
}

async function make(parts: ImageParts, { store, processes, layers }: AssembleOptions): Promise<ImageDescription> {
  const { bytes, totalBlocks, sizes } = await metadataOf(parts.diffIds, layers);
  const diskBytes = totalBlocks * BLOCK_BYTES;
  if (diskBytes > SCRATCH_BYTES) {
    throw new VmRunnerError(
      'image-invalid',
      `image of ${formatSize(diskBytes)}, more than ${formatSize(SCRATCH_BYTES)}`,
      {
        subject: parts.digest,
        hint: 'That is the most that a VM can be given: make it smaller.',
      },
    );
  }
  const directory = imageDirectory(store, parts.digest);
  const description: ImageDescription = {
    version: 1,
    digest: parts.digest,
    layers: parts.diffIds.map((diffId, index) => ({ diffId, dataBytes: sizes[index] ?? 0 })),
    metadataBytes: bytes.length,
    diskBytes,
    createdAt: Date.now(),
  };
  await intoPlace({ store, processes }, directory, async (temporary) => {
    const write = (name: string, data: string | Uint8Array): Promise<void> =>
      writeWhole(path.join(temporary, name), data, 0o444);
    await write(IMAGE_FILES.metadata, bytes);
    await write(IMAGE_FILES.disk, vmdkDescriptor(extents(description)));
    await write(IMAGE_FILES.config, parts.config);
    await write(IMAGE_FILES.manifest, parts.manifest);
    await write(IMAGE_FILES.description, `${JSON.stringify(description, undefined, 2)}\n`);
  });
  return description;
}

/** The disk of an image without the data of its layers: always the same for the same layers. */
export async function metadataOf(diffIds: readonly string[], layers: LayerStore) {
  const tree = new MergedTree();
  const sizes: number[] = [];
  for (const diffId of diffIds) {
    const { entries, dataBytes } = await layers.index(diffId);
    tree.add(entries);
    sizes.push(dataBytes);
  }
  const blocks = sizes.map((size) => size / BLOCK_BYTES);
  return { ...erofsMetadata(tree.root, blocks), sizes };
}

/** Named from the directory of the image, so that a store can be moved. */
function extents({ metadataBytes, layers }: ImageDescription) {
  return [
    { file: IMAGE_FILES.metadata, bytes: metadataBytes },
    ...layers
      .filter(({ dataBytes }) => dataBytes > 0)
      .map(({ diffId, dataBytes }) => ({
        file: `../../layers/${digestHex(diffId)}/${LAYER_FILES.data}`,
        bytes: dataBytes,
      })),
  ];
}
