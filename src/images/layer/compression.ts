import { Readable, type Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import * as zlib from 'node:zlib';

import { systemCode, toVmRunnerError, VmRunnerError } from '../../core/errors.js';
import { startPiped } from '../../process/piped.js';
import { layerError } from './limits.js';

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
    else if (compression === 'gzip') yield* through(all(), zlib.createGunzip({ chunkSize: CHUNK_BYTES }));
    else if (compression === 'zstd') yield* unzstd(all());
    else throw layerError(`layer compressed with ${compression}, which images do not use: make it gzip or zstd`);
  } finally {
    await iterator.return?.();
  }
}

async function* through(source: AsyncIterable<Buffer>, transform: Transform): AsyncGenerator<Buffer> {
  let sourceError: Error | undefined;
  async function* watched(): AsyncGenerator<Buffer> {
    try {
      yield* source;
    } catch (error) {
      sourceError = toVmRunnerError(error);
      throw error;
    }
  }
  const piping = pipeline(Readable.from(watched(), { objectMode: false }), transform);
  // Told by the reading below; and nobody listens when that was left early.
  piping.catch(() => undefined);
  try {
    for await (const chunk of transform) yield chunk as Buffer;
    await piping;
  } catch (cause) {
    if (sourceError !== undefined) throw sourceError;
    if (cause instanceof VmRunnerError || systemCode(cause)?.startsWith('Z') !== true) throw cause;
    throw layerError(`layer whose compressed bytes are damaged (${cause instanceof Error ? cause.message : ''})`);
  } finally {
    transform.destroy();
  }
}

/** Node has zstd from 22.15 on. */
const { createZstdDecompress } = zlib as unknown as {
  readonly createZstdDecompress?: (options: { readonly chunkSize: number }) => Transform;
};

function unzstd(source: AsyncIterable<Buffer>): AsyncIterable<Buffer> {
  if (createZstdDecompress !== undefined) return through(source, createZstdDecompress({ chunkSize: CHUNK_BYTES }));
  return throughProgram(source);
}

async function* throughProgram(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let program;
  try {
    program = await startPiped(['zstd', '-q', '-d', '-c']);
  } catch (cause) {
    if (!(cause instanceof VmRunnerError) || cause.code !== 'host-tool-missing') throw cause;
    throw new VmRunnerError('host-tool-missing', 'layer compressed with zstd, which this version of Node cannot read', {
      hint: 'Run vm-runner with Node 22.15 or newer, or install zstd: apt-get install zstd',
      cause,
    });
  }
  const { stream, errorTail } = program;
  const closed = new Promise<void>((resolve) => stream.once('close', resolve));
  try {
    yield* through(source, stream as unknown as Transform);
  } catch (cause) {
    await closed;
    if (errorTail() === '') throw cause;
  }
  await closed;
  if (errorTail() !== '') throw layerError(`layer whose compressed bytes are damaged (${errorTail()})`);
}
