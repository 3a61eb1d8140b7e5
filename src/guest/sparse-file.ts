import type { FileHandle } from 'node:fs/promises';

import type { Region } from './sparse-map.js';

/** A part of a file: bytes, or that many zeros that need not be stored. */
export type Piece = Uint8Array | { readonly hole: number };

/** Smaller runs of zeros are not worth a message, and stay bytes. */
const HOLE_BYTES = 64 * 2 ** 10;
const READ_BYTES = 4 * HOLE_BYTES;
const ZEROS = Buffer.alloc(HOLE_BYTES);

/**
 * The first `size` bytes of a file, whole pieces of zeros as holes. Node cannot ask where the holes are, so all of it is read.
 * Ends early when the file is shorter.
 */
export async function* readPieces(file: FileHandle, size: number): AsyncGenerator<Piece> {
  let hole = 0;
  for (let at = 0; at < size;) {
    const { bytesRead, buffer } = await file.read(
      Buffer.allocUnsafe(READ_BYTES),
      0,
      Math.min(READ_BYTES, size - at),
      at,
    );
    if (bytesRead === 0) break;
    at += bytesRead;
    for (const piece of cut(buffer.subarray(0, bytesRead))) {
      if ('hole' in piece) {
        hole += piece.hole;
        continue;
      }
      if (hole > 0) yield { hole };
      hole = 0;
      yield piece;
    }
  }
  if (hole > 0) yield { hole };
}

/** Runs of bytes and of zeros, cut where whole pieces of zeros begin and end. */
function* cut(bytes: Buffer): Generator<Piece> {
  let start = 0;
  for (let at = 0; at + HOLE_BYTES <= bytes.length; at += HOLE_BYTES) {
    if (!ZEROS.equals(bytes.subarray(at, at + HOLE_BYTES))) continue;
    if (at > start) yield bytes.subarray(start, at);
    yield { hole: HOLE_BYTES };
    start = at + HOLE_BYTES;
  }
  if (start < bytes.length) yield bytes.subarray(start);
}

/** Where the bytes of a file are. */
export async function regionsOf(file: FileHandle, size: number): Promise<readonly Region[]> {
  const regions: { offset: number; length: number }[] = [];
  let at = 0;
  for await (const piece of readPieces(file, size)) {
    if ('hole' in piece) {
      at += piece.hole;
      continue;
    }
    const last = regions.at(-1);
    if (last !== undefined && last.offset + last.length === at) last.length += piece.length;
    else regions.push({ offset: at, length: piece.length });
    at += piece.length;
  }
  return regions;
}

/** Writes a new file from its front to its end, leaving out holes. */
export class PieceWriter {
  readonly #file: FileHandle;
  #at = 0;

  constructor(file: FileHandle) {
    this.#file = file;
  }

  /** Bytes and holes so far. */
  get size(): number {
    return this.#at;
  }

  async write(bytes: Uint8Array): Promise<void> {
    for (let done = 0; done < bytes.length;) {
      const { bytesWritten } = await this.#file.write(bytes, done, bytes.length - done, this.#at);
      done += bytesWritten;
      this.#at += bytesWritten;
    }
  }

  skip(bytes: number): void {
    this.#at += bytes;
  }

  /** A hole at the end is there only when the size says so. */
  async finish(): Promise<void> {
    await this.#file.truncate(this.#at);
  }
}
