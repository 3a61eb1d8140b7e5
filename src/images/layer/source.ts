import { open } from 'node:fs/promises';

import { abortReason } from '../../core/deadline.js';
import { fileError } from '../../core/errors.js';

/** Where the bytes of a layer come from, compressed or not. */
export type LayerSource =
  | {
      readonly file: string;
      /** Where they begin in it, and how many there are. Default: the whole file. */
      readonly offset?: number;
      readonly length?: number;
      /** What their SHA-256 must be: `sha256:…`. */
      readonly digest?: string;
    }
  | { readonly stream: AsyncIterable<Uint8Array> };

const CHUNK_BYTES = 2 ** 20;

/** Those bytes, in pieces. */
export async function* readSource(source: LayerSource, signal: AbortSignal): AsyncGenerator<Buffer> {
  if ('stream' in source) {
    for await (const piece of source.stream) {
      if (signal.aborted) throw abortReason(signal);
      yield Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength);
    }
    return;
  }
  const { file, offset = 0, length = Infinity } = source;
  const handle = await open(file, 'r').catch((cause: unknown) => {
    throw fileError('read a layer', file, cause);
  });
  try {
    for (let at = 0; at < length;) {
      if (signal.aborted) throw abortReason(signal);
      const want = Math.min(CHUNK_BYTES, length - at);
      const { bytesRead, buffer } = await handle.read(Buffer.allocUnsafe(want), 0, want, offset + at);
      if (bytesRead === 0) return;
      at += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
  } catch (cause) {
    throw signal.aborted ? abortReason(signal) : fileError('read a layer', file, cause);
  } finally {
    await handle.close();
  }
}
