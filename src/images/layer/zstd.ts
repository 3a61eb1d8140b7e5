import type { Transform } from 'node:stream';
import * as zlib from 'node:zlib';

import { VmRunnerError } from '../../core/errors.js';
import { startPiped } from '../../process/piped.js';
import { layerError } from './limits.js';
import { through } from './through.js';

/** Node has it from 22.15 on. */
const { createZstdDecompress } = zlib as unknown as {
  readonly createZstdDecompress?: (options: {
    readonly chunkSize: number;
  }) => Transform & { readonly bytesWritten: number };
};

const CHUNK_BYTES = 256 * 2 ** 10;

/** Whether this Node can decompress zstd. */
export const NODE_HAS_ZSTD = createZstdDecompress !== undefined;

export function unzstd(source: AsyncIterable<Buffer>): AsyncIterable<Buffer> {
  return NODE_HAS_ZSTD ? unzstdByNode(source) : unzstdByProgram(source);
}

/**
 * Frame by frame: what writes zstd in parallel, or so that parts can be fetched alone, makes many, and Node takes the end of the
 * first for the end of all.
 */
export async function* unzstdByNode(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  if (createZstdDecompress === undefined) throw new VmRunnerError('internal', 'this version of Node has no zstd');
  const input = new Unreadable(source);
  try {
    while (!(await input.isAtEnd())) {
      const frame = createZstdDecompress({ chunkSize: CHUNK_BYTES });
      yield* through(input.pieces(frame), frame);
      if (frame.bytesWritten === 0) throw layerError('layer whose compressed bytes are damaged (no zstd)');
      input.took(frame.bytesWritten);
    }
  } finally {
    await input.close();
  }
}

/** A stream of bytes of which those can be read again that nobody took. */
class Unreadable {
  readonly #iterator: AsyncIterator<Buffer, unknown>;
  /** Given out, or to be given out again; from the first byte that nobody took. */
  #held: Buffer[] = [];
  /** Bytes that the frame being read took and that are not held any more. */
  #released = 0;

  constructor(source: AsyncIterable<Buffer>) {
    this.#iterator = source[Symbol.asyncIterator]();
  }

  async isAtEnd(): Promise<boolean> {
    while (this.#held.length === 0) {
      const next = await this.#iterator.next();
      // A read that was under way when the last frame ended may have come first.
      if (next.done === true) return this.#held.length === 0;
      if (next.value.length > 0) this.#held.push(next.value);
    }
    return false;
  }

  /** From the first byte that no frame took. Those that this one took are let go of as it does. */
  async *pieces(frame: { readonly bytesWritten: number }): AsyncGenerator<Buffer> {
    this.#released = 0;
    for (let index = 0; ; index += 1) {
      const before = this.#held.length;
      this.#releaseWhole(frame.bytesWritten);
      index -= before - this.#held.length;
      const held = this.#held[index];
      if (held !== undefined) {
        yield held;
        continue;
      }
      const next = await this.#iterator.next();
      if (next.done === true) return;
      this.#held.push(next.value);
      yield next.value;
    }
  }

  #releaseWhole(taken: number): void {
    for (let [first] = this.#held; first !== undefined; [first] = this.#held) {
      if (this.#released + first.length > taken) return;
      this.#released += first.length;
      this.#held.shift();
    }
  }

  /** The frame that was read last has ended, and took so many bytes. */
  took(bytes: number): void {
    this.#releaseWhole(bytes);
    const [first] = this.#held;
    if (first !== undefined) this.#held[0] = first.subarray(bytes - this.#released);
  }

  async close(): Promise<void> {
    await this.#iterator.return?.();
  }
}

export async function* unzstdByProgram(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
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
  const { stream, exited, errorTail } = program;
  const damaged = (how: string): VmRunnerError =>
    layerError(`layer whose compressed bytes are damaged (${errorTail() || `zstd ended ${how}`})`);
  try {
    // When it does not like the bytes it ends before it has read all of them.
    yield* through(source, stream);
  } catch (cause) {
    if (cause instanceof VmRunnerError) throw cause;
    await exited;
    throw damaged('early');
  }
  const { code, signal } = await exited;
  // It is told to end once it has closed its output: perhaps a moment before it would by itself, but not before it said why.
  if (code === 0 || (signal === 'SIGTERM' && errorTail() === '')) return;
  throw damaged(signal === null ? `with exit code ${code ?? ''}` : `by ${signal}`);
}
