import type { Log } from '../core/log.js';

/** Where layers go that were downloaded: the part of the layer store that a pull needs. */
export interface LayerSink {
  has(diffId: string): Promise<boolean>;
  /** @param source file of the layer as it came; `digest` when nobody has compared it yet */
  add(
    source: { readonly file: string; readonly digest?: string },
    diffId: string,
    context: { readonly signal: AbortSignal; readonly log: Log },
  ): Promise<void>;
}

/** What an image is assembled from when its layers are here. */
export interface ImageParts {
  /** Of the manifest's bytes. */
  readonly digest: string;
  readonly manifest: Uint8Array;
  readonly config: Uint8Array;
  readonly diffIds: readonly string[];
}
