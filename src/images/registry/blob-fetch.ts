import type { Log } from '../../core/log.js';
import type { RegistryClient } from './client.js';
import type { Descriptor } from './manifest.js';
import type { PartFile } from './part-file.js';
import type { Slots } from './slots.js';
import type { Source } from './source.js';
import type { RetryOptions } from './transient.js';

export interface DownloadOptions {
  readonly client: RegistryClient;
  /** Connections for all downloads together. */
  readonly slots: Slots;
  readonly retry: RetryOptions;
  readonly log: Log;
  readonly signal: AbortSignal;
  /** The image, for sentences. */
  readonly subject: string;
  /** Called with how much an earlier process left. */
  readonly onResume: (bytes: number) => void;
  /** Called with each change of how much is there: of bytes that came, and, negative, of those that were of no use. */
  readonly onBytes: (bytes: number) => void;
}

/** One download, as all its ranges see it. */
export interface BlobFetch {
  readonly blob: Descriptor;
  readonly part: PartFile;
  /** Who gave some of it. */
  readonly sources: Set<Source>;
  readonly options: DownloadOptions;
  /** A stream of the whole content that is under way, because the registry gave no range. */
  whole: Promise<void> | undefined;
}
