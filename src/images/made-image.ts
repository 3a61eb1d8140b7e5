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
  readonly ref: Omit<Ref, 'digest' | 'pulledAt'>;
}

/** An image of layers that were made here and never had a manifest, under a name. Its manifest names the plain tars. */
export async function makeLocalImage(made: MadeImage, options: AssembleOptions): Promise<LocalImage> {
  const { store, layers } = options;
  const { diffIds, history, ref } = made;
  const config = renderConfig({ architecture: imageArchitecture(), diffIds, config: made.config, history });
  const manifest = renderManifest({
    config: { mediaType: CONFIG_TYPE, digest: digestOf(config), size: config.length },
    layers: await Promise.all(
      diffIds.map(async (digest) => ({ mediaType: TAR_TYPE, digest, size: (await layers.index(digest)).rawBytes })),
    ),
  });
  const digest = digestOf(manifest);
  await assembleImage({ digest, manifest, config, diffIds }, options);
  await new Refs(store).write({ ...ref, digest, pulledAt: Date.now() });
  const image = await readLocalImage(store, digest, ref.reference);
  if (image !== undefined) return image;
  throw new VmRunnerError('internal', 'an image that was made is not there', { subject: digest });
}
