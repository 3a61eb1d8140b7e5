import { VmRunnerError } from '../../core/errors.js';
import type { ByteRange } from './byte-ranges.js';
import type { BlobFetch } from './blob-fetch.js';
import type { Answer } from './client.js';
import { isForeign } from './media-type.js';
import { Transient, withRetries } from './transient.js';

/** An attempt that brought less is counted as a failure: who sends drops must not keep us forever. */
const PROGRESS_BYTES = 64 * 2 ** 10;
/** Each write is a trip to another thread: few large ones take a fifth of the time of many small ones. */
const BATCH_BYTES = 512 * 2 ** 10;

/**
 * Brings what is missing of a range. Each attempt asks the registry again: addresses that it signs for us expire.
 * @param onRanges called when the registry has shown that it gives ranges
 */
export async function fetchRange(
  fetch: BlobFetch,
  range: ByteRange,
  signal: AbortSignal,
  onRanges?: () => void,
): Promise<void> {
  let came = 0;
  const attempt = async (): Promise<void> => {
    came = 0;
    const count = (bytes: number): void => void (came += bytes);
    for (const gap of fetch.part.missing(range)) await fetchGap(fetch, gap, { signal, count, onRanges });
  };
  await withRetries(attempt, { ...fetch.options, signal }, () => came >= PROGRESS_BYTES);
}

interface GapContext {
  readonly signal: AbortSignal;
  readonly count: (bytes: number) => void;
  readonly onRanges: (() => void) | undefined;
}

async function fetchGap(fetch: BlobFetch, [from, to]: ByteRange, context: GapContext): Promise<void> {
  const { blob } = fetch;
  const isAll = from === 0 && to === blob.size;
  const headers: Record<string, string> = isAll ? {} : { range: `bytes=${from}-${to - 1}` };
  const response = await openBlob(fetch, headers, context.signal);
  fetch.sources.add(response.source);
  if (response.status === 206) {
    if (!response.headers['content-range']?.startsWith(`bytes ${from}-`)) {
      response.discard();
      const wrong = failed(fetch, 'registry gave another part than the one asked for');
      throw fetch.options.client.afterAnswer(response.source, wrong);
    }
    context.onRanges?.();
    return write(fetch, response, [from, to], context);
  }
  if (fetch.whole !== undefined) {
    response.discard();
    await fetch.whole.catch(() => undefined);
    if (fetch.part.missing([from, to]).length > 0) throw new Transient(failed(fetch, 'connection was lost'));
    return;
  }
  fetch.whole = write(fetch, response, [0, blob.size], context);
  try {
    await fetch.whole;
  } finally {
    fetch.whole = undefined;
  }
}

async function write(fetch: BlobFetch, response: Answer, range: ByteRange, context: GapContext): Promise<void> {
  try {
    await writePieces(fetch, response, range, context);
  } catch (error) {
    throw context.signal.aborted ? error : fetch.options.client.afterAnswer(response.source, error);
  }
}

async function writePieces(
  fetch: BlobFetch,
  response: Answer,
  [from, to]: ByteRange,
  context: GapContext,
): Promise<void> {
  let at = from;
  let batch: Uint8Array[] = [];
  let batchBytes = 0;
  const flush = async (): Promise<void> => {
    const pieces = batch;
    const start = at - batchBytes;
    batch = [];
    batchBytes = 0;
    const added = await fetch.part.write(pieces, start);
    context.count(added);
    fetch.options.onBytes(added);
  };
  try {
    for await (const piece of response.body) {
      if (at + piece.byteLength > to) throw failed(fetch, 'registry sends more than the manifest of the image says');
      batch.push(piece);
      batchBytes += piece.byteLength;
      at += piece.byteLength;
      if (batchBytes >= BATCH_BYTES) await flush();
    }
  } finally {
    await flush();
  }
  if (at < to) throw new Transient(failed(fetch, 'connection was lost'));
}

/** Content that is not for registries is looked for where its manifest says, if the registry has none. */
async function openBlob(fetch: BlobFetch, headers: Record<string, string>, signal: AbortSignal): Promise<Answer> {
  const { blob, options } = fetch;
  try {
    return await options.client.get({ kind: 'blobs', name: blob.digest, headers }, signal);
  } catch (error) {
    const isMissing = error instanceof VmRunnerError && error.code === 'registry-failed';
    const [address] = blob.urls;
    if (!isMissing || signal.aborted || !isForeign(blob.mediaType) || address === undefined) throw error;
    return options.client.getElsewhere(address, headers, signal);
  }
}

function failed(fetch: BlobFetch, reason: string): VmRunnerError {
  return new VmRunnerError('registry-failed', reason, {
    subject: fetch.options.subject,
    hint: `It was about ${fetch.blob.digest}.`,
  });
}
