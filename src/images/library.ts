import type { Finding } from '../core/finding.js';
import type { PullPolicy } from '../core/job.js';
import type { Log } from '../core/log.js';
import type { BaseGuest, ImageConfig, LocalImage } from './image.js';

export interface ImageContext {
  readonly log: Log;
  readonly signal: AbortSignal;
}

export interface ResolveContext extends ImageContext {
  /** Default: `if-not-present`. */
  readonly pull?: PullPolicy | undefined;
}

/** An image of this host as `vm-runner images` lists it. */
export interface StoredImage {
  readonly references: readonly string[];
  readonly digest: string;
  readonly layers: number;
  /** Of its layers on this host; images share them. */
  readonly bytes: number;
  /** What a prepared image was made of, as one digest. */
  readonly key: string | undefined;
  /** Milliseconds since 1970: when it came to this host. */
  readonly createdAt: number;
}

export interface LayerOptions {
  /** What the new image is called. */
  readonly reference: string;
  /** What it was made of, as one digest. */
  readonly key?: string | undefined;
  /** What is different in its configuration. */
  readonly config?: Partial<ImageConfig> | undefined;
  /** For people who look at its history. */
  readonly comment?: string | undefined;
}

/** The images of this host. */
export interface ImageLibrary {
  /** What every VM boots from; built at the first call, once however many ask. */
  baseGuest(context: ImageContext): Promise<BaseGuest>;
  /** What is here already; `undefined` when `baseGuest` would have to build. */
  findBaseGuest(): Promise<BaseGuest | undefined>;
  /** The files of an image; pulls, imports or builds what is missing. `default` is the root of the base guest. */
  resolve(reference: string, context: ResolveContext): Promise<LocalImage>;
  /** An image that is here already. */
  find(reference: string): Promise<LocalImage | undefined>;
  list(): Promise<readonly StoredImage[]>;
  /** Gives an image one more name: `local/NAME`. What had that name before loses it. */
  name(image: LocalImage, reference: string): Promise<LocalImage>;
  /** Takes a name away; files go when no other name and no VM needs them. @returns bytes that were freed */
  remove(reference: string): Promise<number>;
  /** Writes an OCI layout: a directory, or a file when the name ends with `.tar`. */
  exportTo(reference: string, target: string, context: ImageContext): Promise<void>;
  /** One more layer over an image. @param layer a tar stream with whiteouts */
  addLayer(
    base: LocalImage,
    layer: AsyncIterable<Uint8Array>,
    options: LayerOptions,
    context: ImageContext,
  ): Promise<LocalImage>;
  /** What `vm-runner doctor` tells of this host: can it have images? */
  check(): Promise<readonly Finding[]>;
}
