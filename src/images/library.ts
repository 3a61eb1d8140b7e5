import type { Finding } from '../core/finding.js';
import type { Log } from '../core/log.js';
import type { BootImage } from './boot-image.js';

/** The images of this host. */
export interface ImageLibrary {
  /**
   * The files of an image; builds or fetches what is missing, at most once however many ask at the same time.
   * @throws image-unavailable when there is no such image, image-build-failed when it could not be made.
   */
  resolve(reference: string, context: { readonly log: Log; readonly signal: AbortSignal }): Promise<BootImage>;

  /** The files of an image that is here already; `undefined` when `resolve` would have to make or fetch something. */
  find(reference: string): Promise<BootImage | undefined>;

  /** What `vm-runner doctor` tells of this host: can it have images? */
  check(): Promise<readonly Finding[]>;
}
