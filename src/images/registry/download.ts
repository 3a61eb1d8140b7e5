import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { lstat, rename } from 'node:fs/promises';

import { fileError, systemCode, VmRunnerError } from '../../core/errors.js';
import { fileStep } from '../file-step.js';
import type { ByteRange } from './byte-ranges.js';
import type { BlobFetch, DownloadOptions } from './blob-fetch.js';
import type { Descriptor } from './manifest.js';
import { PartFile } from './part-file.js';
import { fetchRange } from './range.js';
import type { Source } from './source.js';
import { together } from './together.js';

/** One request for each is the fastest below this. */
export const LARGE_BLOB_BYTES = 16 * 2 ** 20;
export const RANGE_BYTES = 8 * 2 ** 20;
const READ_BYTES = 2 ** 20;

/**
 * Downloads content into a file, several ranges at a time when it is large, and goes on where an earlier process stopped.
 * The file appears when it is whole and has its digest. One process at a time: whoever calls holds a lock.
 * @throws registry-failed when the registry has something else, disk-full (what came stays for the next time)
 */
export async function downloadBlob(blob: Descriptor, target: string, options: DownloadOptions): Promise<void> {
  // Its process ended before it could use it.
  if ((await sizeOf(target)) === blob.size && (await digestOf(target, options.signal)) === blob.digest) return;
  for (let isAgain = false; ; isAgain = true) {
    const part = await PartFile.open(`${target}.part`, blob.size);
    const sources = new Set<Source>();
    try {
      options.onResume(part.resumedBytes);
      await fetchMissing({ blob, part, sources, options, whole: undefined });
      const digest = await digestOf(part.path, options.signal);
      if (digest === blob.digest) {
        await part.finish();
        await fileStep('move a download into its place', target, rename(part.path, target));
        return;
      }
      options.onBytes(-part.presentBytes);
      await part.reset();
      const reason = 'registry gave content that has another digest';
      const fromMirror = [...sources].filter((source) => options.client.distrust(source, reason)).length > 0;
      // Also what was left here may have been bad.
      if (!fromMirror && (isAgain || part.resumedBytes === 0)) {
        const hint = `Expected ${blob.digest}, got ${digest}. The image must be pushed again.`;
        throw new VmRunnerError('registry-failed', reason, { subject: options.subject, hint });
      }
    } catch (error) {
      // The first error is the reason.
      await part.close().catch(() => undefined);
      throw error;
    }
    await part.close();
  }
}

/** The first range shows whether the registry gives ranges at all; the others follow when it does. */
async function fetchMissing(fetch: BlobFetch): Promise<void> {
  const { blob, part, options } = fetch;
  const isLarge = blob.size > LARGE_BLOB_BYTES;
  const [first, ...others] = part.missing().flatMap((range) => (isLarge ? split(range) : [range]));
  if (first === undefined) return;
  let open = (): void => undefined;
  const opened = new Promise<void>((resolve) => (open = resolve));
  const run = (range: ByteRange, signal: AbortSignal, onRanges?: () => void): Promise<void> =>
    options.slots.run(signal, () => fetchRange(fetch, range, signal, onRanges));
  const tasks = others.map((range) => async (signal: AbortSignal): Promise<void> => {
    await opened;
    await run(range, signal);
  });
  await together([(signal) => run(first, signal, open).finally(open), ...tasks], options.signal);
}

function split([from, to]: ByteRange): ByteRange[] {
  const ranges: ByteRange[] = [];
  for (let at = from; at < to; at += RANGE_BYTES) ranges.push([at, Math.min(to, at + RANGE_BYTES)]);
  return ranges;
}

async function sizeOf(path: string): Promise<number | undefined> {
  try {
    return (await lstat(path)).size;
  } catch (cause) {
    if (systemCode(cause) === 'ENOENT') return undefined;
    throw fileError('look at a download', path, cause);
  }
}

async function digestOf(path: string, signal: AbortSignal): Promise<string> {
  const hash = createHash('sha256');
  const read = async (): Promise<void> => {
    for await (const bytes of createReadStream(path, { highWaterMark: READ_BYTES, signal }))
      hash.update(bytes as Buffer);
  };
  await fileStep('read a download', path, read());
  return `sha256:${hash.digest('hex')}`;
}
