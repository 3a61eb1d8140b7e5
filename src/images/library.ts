import type { Finding } from '../core/finding.js';
import type { PullPolicy } from '../core/job.js';
import type { Log } from '../core/log.js';
import type { CollectOptions, Garbage } from '../core/garbage.js';
import type { BaseGuest, ImageConfig, LocalImage } from './image.js';
import type { ImageRules } from './names-that-go.js';

export interface ImageContext {
  readonly log: Log;
  readonly signal: AbortSignal;
}

export interface ResolveContext extends ImageContext {
  /** Default: `if-not-present`. */
  readonly pull?: PullPolicy | undefined;
}

/** What the store has of an image, for people. Sizes are bytes. */
export interface StoredImage {
  /** All its names; empty when it is only kept for a VM. */
  readonly references: readonly string[];
  readonly digest: string;
  readonly layers: number;
  /** Of the disk that a guest sees. */
  readonly diskBytes: number;
  /** Of what goes when this image goes: layers that no other image has. */
  readonly ownBytes: number;
  /** Milliseconds since 1970: when it was made on this host, and when a name was last found to mean it. */
  readonly createdAt: number;
  readonly pulledAt: number;
  /** For people. */
  readonly comment: string | undefined;
}

/** What became of an image whose name was taken away. */
export interface RemovedImage {
  readonly reference: string;
  readonly digest: string;
  /** Given back to the disk now. */
  readonly freedBytes: number;
  /** Why its files are still here; `undefined` when they are gone. */
  readonly kept: string | undefined;
}

export interface NewLayer {
  /** What the image that comes of it is called. */
  readonly reference: string;
  /** What it was made from: whoever makes the same again finds it by that. */
  readonly key?: string | undefined;
  /** What is other than in the image below. */
  readonly config?: Partial<ImageConfig> | undefined;
  /** For people. */
  readonly comment?: string | undefined;
}

export interface SweepRequest extends CollectOptions {
  readonly rules: ImageRules & {
    /** Of downloads that are not finished. Default: no limit. */
    readonly downloadsBytes?: number | undefined;
  };
  readonly signal?: AbortSignal | undefined;
}

/** The images of this host. */
export interface ImageLibrary {
  /**
   * What every VM boots from; builds what is missing, once however many ask at the same time.
   * @throws image-build-failed, host-tool-missing
   */
  baseGuest(context: ImageContext): Promise<BaseGuest>;

  /** What every VM boots from, when it is here already; `undefined` when `baseGuest` would have to make something. */
  findBaseGuest(): Promise<BaseGuest | undefined>;

  /**
   * The files of an image; pulls, imports or builds what is missing, once however many ask at the same time. `default` is
   * the root of the base guest.
   * @throws image-unavailable when there is no such image, image-invalid when it is none.
   */
  resolve(reference: string, context: ResolveContext): Promise<LocalImage>;

  /** The files of an image that is here already. */
  find(reference: string): Promise<LocalImage | undefined>;

  /** The image of that name, if it was made of what has this key. */
  findMade(reference: string, key: string): Promise<LocalImage | undefined>;

  list(): Promise<readonly StoredImage[]>;

  /** Gives an image one more name; another image loses it. @param reference `local/NAME` */
  name(image: LocalImage, reference: string): Promise<LocalImage>;

  /**
   * Takes a name away. The files go when no other name and no VM needs them.
   * @throws image-unavailable when nothing has that name.
   */
  remove(reference: string): Promise<RemovedImage>;

  /**
   * Writes an image for other programs: a directory as OCI lays it out, or a tar of one when the name ends so. Its
   * layers are packed anew, so its digests are not those of the image that was pulled; what is in it is the same.
   * @returns the digest of the manifest that was written
   */
  exportTo(reference: string, target: string, context: ImageContext): Promise<string>;

  /** One more layer over an image, as a new image of that name. @param layer a tar, compressed or not, with whiteouts */
  addLayer(
    base: LocalImage,
    layer: AsyncIterable<Uint8Array>,
    options: NewLayer,
    context: ImageContext,
  ): Promise<LocalImage>;

  /**
   * Removes images that neither a name nor a VM needs, layers that no image needs, and downloads that nobody went on with; with
   * names that the rules take away before. Never what is in use, and no images while somebody makes some.
   */
  sweep(request: SweepRequest): Promise<readonly Garbage[]>;

  /** What `vm-runner doctor` tells of this host: can it have images? */
  check(): Promise<readonly Finding[]>;

  /** Reads all files of all images and compares them with what was written. */
  verify(context: ImageContext): Promise<readonly Finding[]>;
}
