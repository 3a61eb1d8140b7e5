import { imageArchitecture } from './architecture.js';
import { assembleImage, type AssembleOptions } from './assemble.js';
import { readDescription } from './image-files.js';
import { pullImage, type PulledImage } from './pull.js';
import type { RegistryReference } from './reference.js';
import type { Ref } from './refs.js';
import type { RegistryOptions } from './registry/options.js';

/** Brings an image from its registry into the store, and tells what its name means from now on. */
export type PullFunction = (
  reference: RegistryReference,
  context: AssembleOptions & { readonly previous: Ref | undefined },
) => Promise<PulledImage>;

/** Pulls from registries that are reached in this way. */
export function pullFrom(registries: RegistryOptions): PullFunction {
  return (reference, { previous, ...options }) => {
    const { store, processes, layers, log, signal } = options;
    const pinned = previous?.pinned;
    return pullImage(reference, {
      ...{ store, processes, registries, layers, log, signal },
      architecture: imageArchitecture(),
      assemble: (parts) => assembleImage(parts, options),
      isAssembled: async (digest) => (await readDescription(store, digest)) !== undefined,
      previous: previous === undefined || pinned === undefined ? undefined : { digest: previous.digest, pinned },
    });
  };
}
