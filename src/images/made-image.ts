import { VmRunnerError } from '../core/errors.js';
import { imageArchitecture } from './architecture.js';
import { assembleImage, type AssembleOptions } from './assemble.js';
import { renderConfig } from './config.js';
import { digestOf } from './digest.js';
import { readLocalImage } from './image-files.js';
import type { ImageConfig, LocalImage } from './image.js';
import { CONFIG_TYPE, renderManifest, TAR_TYPE } from './manifest.js';
import { Refs, type Ref } from './refs.js';

export interface MadeImage {
  /** Layers that are here, from the bottom. */
  readonly diffIds: readonly string[];
  readonly config: ImageConfig;
  /** For people: where each layer comes from. */
  readonly history: readonly string[];
  readonly ref: NewRef;
}

export type NewRef = Omit<Ref, 'digest' | 'pulledAt'>;

/** An image of layers that were made here, under a name. */
export async function makeLocalImage(made: MadeImage, options: AssembleOptions): Promise<LocalImage> {
  const { diffIds, config, history, ref } = made;
  const bytes = renderConfig({ architecture: imageArchitecture(), diffIds, config, history });
  return nameImage(await imageOfConfig(bytes, undefined, diffIds, options), ref, options);
}

/**
 * An image of layers that are here.
 * @param manifest `undefined` when nobody has written one: ours names the plain tars
 * @returns its digest
 */
export async function imageOfConfig(
  config: Buffer,
  manifest: Buffer | undefined,
  diffIds: readonly string[],
  options: AssembleOptions,
): Promise<string> {
  const bytes = manifest ?? (await plainManifest(config, diffIds, options));
  const digest = digestOf(bytes);
  await assembleImage({ digest, manifest: bytes, config, diffIds }, options);
  return digest;
}

async function plainManifest(config: Buffer, diffIds: readonly string[], { layers }: AssembleOptions): Promise<Buffer> {
  return renderManifest({
    config: { mediaType: CONFIG_TYPE, digest: digestOf(config), size: config.length },
    layers: await Promise.all(
      diffIds.map(async (digest) => ({ mediaType: TAR_TYPE, digest, size: (await layers.index(digest)).rawBytes })),
    ),
  });
}

/** Gives an image a name. */
export async function nameImage(
  digest: string,
  ref: NewRef,
  { store }: Pick<AssembleOptions, 'store'>,
): Promise<LocalImage> {
  await new Refs(store).write({ ...ref, digest, pulledAt: Date.now() });
  const image = await readLocalImage(store, digest, ref.reference);
  if (image !== undefined) return image;
  throw new VmRunnerError('internal', 'an image that was made is not there', { subject: digest });
}
