import { open, type FileHandle } from 'node:fs/promises';
import { crc32 } from 'node:zlib';

import { fileError } from '../../core/errors.js';
import { BLOCK_BYTES } from './limits.js';

const STAGE_BYTES = 2 ** 20;
/** Runs of zeros of this length, on its multiples, become holes. */
const HOLE_BYTES = 64 * 2 ** 10;
const ZEROS = Buffer.alloc(HOLE_BYTES);

/**
 * The data of a layer: the bytes of its files, each from a block of its own on. What is given to it is kept until
 * {@link DataFile.drain} is awaited.
 */
export class DataFile {
  readonly #path: string;
  readonly #file: FileHandle;
  /** Full ones, to be written. */
  #full: Buffer[] = [];
  #spare: Buffer[] = [];
  #stage: Buffer = Buffer.alloc(STAGE_BYTES);
  #staged = 0;
  /** Where the first full one, else the stage, belongs. */
  #written = 0;
  #checksum = 0;

  private constructor(path: string, file: FileHandle) {
    this.#path = path;
    this.#file = file;
  }

  static async create(path: string): Promise<DataFile> {
    try {
      return new DataFile(path, await open(path, 'wx', 0o600));
    } catch (cause) {
      throw fileError('write a layer', path, cause);
    }
  }

  /** Goes to the next block. @returns its number */
  align(): number {
    const over = this.#staged % BLOCK_BYTES;
    if (over > 0) {
      const gap = BLOCK_BYTES - over;
      this.#stage.fill(0, this.#staged, this.#staged + gap);
      this.#staged += gap;
      if (this.#staged === STAGE_BYTES) this.#turn();
    }
    return (this.#written + this.#full.length * STAGE_BYTES + this.#staged) / BLOCK_BYTES;
  }

  append(bytes: Buffer): void {
    for (let at = 0; at < bytes.length;) {
      const count = Math.min(bytes.length - at, STAGE_BYTES - this.#staged);
      bytes.copy(this.#stage, this.#staged, at, at + count);
      this.#staged += count;
      at += count;
      if (this.#staged === STAGE_BYTES) this.#turn();
    }
  }

  #turn(): void {
    this.#full.push(this.#stage);
    this.#stage = this.#spare.pop() ?? Buffer.allocUnsafe(STAGE_BYTES);
    this.#staged = 0;
  }

  /** Writes what has been given in whole stages. */
  async drain(): Promise<void> {
    const full = this.#full;
    for (const stage of full) {
      await this.#write(stage);
      this.#written += STAGE_BYTES;
      this.#spare.push(stage);
    }
    this.#full = [];
  }

  /** Writes the rest and brings everything to the disk. @returns the size, a multiple of blocks */
  async finish(): Promise<number> {
    this.align();
    await this.drain();
    await this.#write(this.#stage.subarray(0, this.#staged));
    const size = this.#written + this.#staged;
    try {
      // It may end with a hole.
      await this.#file.truncate(size);
      await this.#file.chmod(0o444);
      await this.#file.sync();
    } catch (cause) {
      throw fileError('write a layer', this.#path, cause);
    }
    return size;
  }

  async close(): Promise<void> {
    await this.#file.close();
  }

  /** CRC-32 of all that was written: it tells damage, not lies. */
  get checksum(): number {
    return this.#checksum;
  }

  /** At its place, but for the zeros in it. */
  async #write(stage: Buffer): Promise<void> {
    this.#checksum = crc32(stage, this.#checksum);
    let from = 0;
    for (let at = 0; at < stage.length; at += HOLE_BYTES) {
      const part = stage.subarray(at, at + HOLE_BYTES);
      if (!part.equals(part.length === HOLE_BYTES ? ZEROS : ZEROS.subarray(0, part.length))) continue;
      await this.#writeAll(stage.subarray(from, at), this.#written + from);
      from = at + part.length;
    }
    await this.#writeAll(stage.subarray(from), this.#written + from);
  }

  async #writeAll(bytes: Buffer, position: number): Promise<void> {
    try {
      for (let at = 0; at < bytes.length;) {
        at += (await this.#file.write(bytes, at, bytes.length - at, position + at)).bytesWritten;
      }
    } catch (cause) {
      throw fileError('write a layer', this.#path, cause);
    }
  }
}
