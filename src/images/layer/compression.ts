import { createGunzip } from 'node:zlib';

import { layerError } from './limits.js';
import { through } from './through.js';
import { unzstd } from './zstd.js';

export type Compression = 'none' | 'gzip' | 'zstd' | 'bzip2' | 'xz';

const CHUNK_BYTES = 256 * 2 ** 10;
/** Its first bytes tell how something is compressed, whatever its media type says. */
const MAGIC: readonly (readonly [Compression, readonly number[]])[] = [
  ['gzip', [0x1f, 0x8b]],
  ['zstd', [0x28, 0xb5, 0x2f, 0xfd]],
  ['bzip2', [0x42, 0x5a, 0x68]],
  ['xz', [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]],
];

export function compressionOf(start: Buffer): Compression {
  const isZstdSkippable =
    start.length >= 4 && ((start[0] ?? 0) & 0xf0) === 0x50 && start.toString('latin1', 1, 4) === '*M\x18';
  if (isZstdSkippable) return 'zstd';
  return MAGIC.find(([, magic]) => magic.every((byte, at) => start[at] === byte))?.[0] ?? 'none';
}

/**
 * The bytes that a stream holds, decompressed when it is compressed: gzip of any number of members, or zstd.
 * @throws image-invalid for damaged streams, and for bzip2 and xz, which OCI does not know.
 */
export async function* decompressed(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const iterator: AsyncIterator<Buffer, unknown> = source[Symbol.asyncIterator]();
  let start: Buffer = Buffer.alloc(0);
  while (start.length < 6) {
    const next = await iterator.next();
    if (next.done === true) break;
    start = start.length === 0 ? next.value : Buffer.concat([start, next.value]);
  }
  async function* all(): AsyncGenerator<Buffer> {
    if (start.length > 0) yield start;
    for (;;) {
      const next = await iterator.next();
      if (next.done === true) return;
      yield next.value;
    }
  }
  try {
    const compression = compressionOf(start);
    if (compression === 'none') yield* all();
    else if (compression === 'gzip') yield* through(all(), createGunzip({ chunkSize: CHUNK_BYTES }));
    else if (compression === 'zstd') yield* unzstd(all());
    else throw layerError(`layer compressed with ${compression}, which images do not use: make it gzip or zstd`);
    // What is behind the compressed bytes belongs to the blob: whoever compares its digest has to see all of it.
    for (let next = await iterator.next(); next.done !== true;) next = await iterator.next();
  } finally {
    await iterator.return?.();
  }
}
