import { lstat, readdir, rm } from 'node:fs/promises';
import path from 'node:path';

import { fileError, systemCode } from '../../core/errors.js';
import type { ProcessTable } from '../../core/process-identity.js';
import { tryLock } from '../../store/lock.js';
import type { StorePaths } from '../../store/paths.js';
import { fileStep } from '../file-step.js';
import { downloadPaths } from './download-paths.js';

/** How long the part of a download waits for somebody to go on with it. Milliseconds. */
export const LEFT_DOWNLOAD_MS = 7 * 86_400_000;

/**
 * Removes what pulls left that nobody went on with: parts of downloads, and whole ones that were of no use.
 * @param before files that were written later stay; milliseconds since 1970
 * @returns the paths that it removed
 */
export async function removeLeftDownloads(
  store: StorePaths,
  processes: ProcessTable,
  before: number,
): Promise<string[]> {
  const names = await fileStep('list a directory', store.blobs, readdir(store.blobs));
  const digests = new Set(names.map((name) => name.replace(/\..*$/, '')));
  const removed: string[] = [];
  for (const digest of digests) {
    const lock = await tryLock(downloadPaths(store, digest).lock, processes);
    if (lock === undefined) continue;
    try {
      const files = names.filter((name) => name.replace(/\..*$/, '') === digest);
      const paths = files.map((name) => path.join(store.blobs, name));
      const times = await Promise.all(paths.map(writtenAt));
      if (Math.max(...times) >= before) continue;
      for (const file of paths) await fileStep('remove a download', file, rm(file, { force: true }));
      removed.push(...paths);
    } finally {
      await lock.release();
    }
  }
  return removed;
}

/** Milliseconds since 1970; that of a file that went away in the meantime is long ago. */
async function writtenAt(file: string): Promise<number> {
  try {
    return (await lstat(file)).mtimeMs;
  } catch (cause) {
    if (systemCode(cause) === 'ENOENT') return -Infinity;
    throw fileError('look at a download', file, cause);
  }
}
