import path from 'node:path';

import type { StorePaths } from '../../store/paths.js';

/** Where a download is, and the lock of whoever works at it. */
export interface DownloadPaths {
  /** The whole content; `.part` and `.part.json` beside it while it comes. */
  readonly file: string;
  readonly lock: string;
}

export function downloadPaths(store: StorePaths, digest: string): DownloadPaths {
  const name = digest.replace(':', '-');
  return { file: path.join(store.blobs, name), lock: path.join(store.locks, `blob-${name}`) };
}
