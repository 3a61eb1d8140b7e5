import { lstat, readdir, rm } from 'node:fs/promises';
import path from 'node:path';

import { fileError, systemCode } from '../../core/errors.js';
import type { CollectOptions, Garbage } from '../../core/garbage.js';
import type { ProcessTable } from '../../core/process-identity.js';
import { tryLock } from '../../store/lock.js';
import type { StorePaths } from '../../store/paths.js';
import { fileStep } from '../file-step.js';
import { downloadPaths } from './download-paths.js';

/** How long the part of a download waits for somebody to go on with it. Milliseconds. */
export const LEFT_DOWNLOAD_MS = 7 * 86_400_000;

export interface LeftOptions extends CollectOptions {
  /** Of all downloads together: the oldest go first. Default: no limit. */
  readonly budgetBytes?: number | undefined;
}

interface Download {
  readonly digest: string;
  readonly files: readonly string[];
  readonly bytes: number;
  /** Milliseconds since 1970. */
  readonly writtenAt: number;
}

/**
 * What pulls left that nobody went on with: parts of downloads, and whole ones that were of no use. Those that somebody works
 * at stay.
 */
export async function leftDownloads(
  { store, processes }: { readonly store: StorePaths; readonly processes: ProcessTable },
  { dryRun, now, budgetBytes = Infinity }: LeftOptions,
): Promise<readonly Garbage[]> {
  const all = (await downloads(store)).sort((a, b) => a.writtenAt - b.writtenAt);
  let total = all.reduce((sum, { bytes }) => sum + bytes, 0);
  const garbage: Garbage[] = [];
  for (const download of all) {
    const isOld = now - download.writtenAt > LEFT_DOWNLOAD_MS;
    if (!isOld && total <= budgetBytes) continue;
    if (!(await take(store, processes, download, dryRun))) continue;
    total -= download.bytes;
    const reason = isOld ? 'nobody went on with it for a week' : 'over the budget for downloads';
    garbage.push({ kind: 'download', name: download.digest, reason, bytes: download.bytes });
  }
  return garbage;
}

async function take(
  store: StorePaths,
  processes: ProcessTable,
  { digest, files }: Download,
  dryRun: boolean,
): Promise<boolean> {
  const lock = await tryLock(downloadPaths(store, digest).lock, processes);
  if (lock === undefined) return false;
  try {
    if (!dryRun) for (const file of files) await fileStep('remove a download', file, rm(file, { force: true }));
    return true;
  } finally {
    await lock.release();
  }
}

async function downloads(store: StorePaths): Promise<Download[]> {
  const names = await fileStep('list a directory', store.blobs, readdir(store.blobs));
  const digestOf = (name: string): string => name.replace(/\..*$/, '');
  return Promise.all(
    [...new Set(names.map(digestOf))].map(async (digest) => {
      const files = names.filter((name) => digestOf(name) === digest).map((name) => path.join(store.blobs, name));
      const facts = await Promise.all(files.map(look));
      return {
        ...{ digest, files },
        bytes: facts.reduce((sum, { bytes }) => sum + bytes, 0),
        writtenAt: Math.max(...facts.map(({ writtenAt }) => writtenAt)),
      };
    }),
  );
}

async function look(file: string): Promise<{ readonly bytes: number; readonly writtenAt: number }> {
  try {
    const { blocks, mtimeMs } = await lstat(file);
    return { bytes: blocks * 512, writtenAt: mtimeMs };
  } catch (cause) {
    // Went away in the meantime.
    if (systemCode(cause) === 'ENOENT') return { bytes: 0, writtenAt: -Infinity };
    throw fileError('look at a download', file, cause);
  }
}
