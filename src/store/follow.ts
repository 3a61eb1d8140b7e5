import { open, stat, type FileHandle } from 'node:fs/promises';

import { delay } from '../core/deadline.js';
import { fileError, systemCode } from '../core/errors.js';

export interface FollowOptions {
  /** Where to begin; default: at the start of the file. */
  readonly from?: number;
  /** Asked each time when all was read; when it says no, what came meanwhile is read and that is the end. */
  readonly goesOn: () => Promise<boolean>;
  readonly signal: AbortSignal;
  /** How long to rest when there was nothing new. Default: 100 ms. */
  readonly intervalMs?: number;
}

const CHUNK_BYTES = 64 * 1024;

/**
 * What a file holds and what is appended to it, as it comes. The file may be shortened, and replaced by a new one (rotated)
 * meanwhile, and need not be there yet. One that is replaced twice between two looks is missed.
 */
export async function* follow(path: string, options: FollowOptions): AsyncGenerator<Uint8Array, void, void> {
  const { goesOn, signal, intervalMs = 100 } = options;
  let at = options.from ?? 0;
  let file = await openIfThere(path);
  let next: FileHandle | undefined;
  try {
    for (;;) {
      // Asked before it is read: what was written before the end is read after it.
      const last = !(await goesOn());
      // So is what its successor stands for: by then nobody writes to the old one any more.
      next = await replacementOf(file, path);
      if (file !== undefined) {
        for await (const chunk of readFrom(file, path, at)) {
          at = chunk.next;
          yield chunk.bytes;
        }
      }
      if (next !== undefined) {
        await file?.close();
        [file, next] = [next, undefined];
        at = 0;
        continue;
      }
      if (last) return;
      await delay(intervalMs, signal);
    }
  } finally {
    await file?.close();
    await next?.close();
  }
}

async function* readFrom(
  file: FileHandle,
  path: string,
  from: number,
): AsyncGenerator<{ readonly bytes: Uint8Array; readonly next: number }> {
  try {
    // A file that was shortened begins anew.
    let at = (await file.stat()).size < from ? 0 : from;
    for (;;) {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(CHUNK_BYTES), 0, CHUNK_BYTES, at);
      if (bytesRead === 0) {
        // Also when nothing is in it, the place counts from its start.
        if (at < from) yield { bytes: new Uint8Array(), next: at };
        return;
      }
      at += bytesRead;
      yield { bytes: buffer.subarray(0, bytesRead), next: at };
    }
  } catch (cause) {
    throw fileError('read a log', path, cause);
  }
}

/** The file that stands at the path by now, when it is another one than this. */
async function replacementOf(file: FileHandle | undefined, path: string): Promise<FileHandle | undefined> {
  const there = await openIfThere(path);
  if (there === undefined || file === undefined) return there;
  const [a, b] = await Promise.all([file.stat(), there.stat()]);
  if (a.ino !== b.ino || a.dev !== b.dev) return there;
  await there.close();
  return undefined;
}

async function openIfThere(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path, 'r');
  } catch (cause) {
    if (systemCode(cause) === 'ENOENT') return undefined;
    throw fileError('read a log', path, cause);
  }
}

/** How long a file is that may be followed; one that is not there yet has no length. */
export async function lengthOf(path: string): Promise<number> {
  try {
    return (await stat(path)).size;
  } catch (cause) {
    if (systemCode(cause) === 'ENOENT') return 0;
    throw fileError('read a log', path, cause);
  }
}
