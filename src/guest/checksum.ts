import { crc32 } from 'node:zlib';

/** Counts and sums up the bytes of a stream, as FileTrailer of agent.proto wants them. */
export class Checksum {
  #size = 0;
  #crc = 0;

  update(bytes: Uint8Array): void {
    this.#size += bytes.length;
    this.#crc = crc32(bytes, this.#crc);
  }

  /** Zeros that are not sent count, but are not in the sum. */
  skip(bytes: number): void {
    this.#size += bytes;
  }

  get trailer(): { readonly size: bigint; readonly crc32: number } {
    return { size: BigInt(this.#size), crc32: this.#crc };
  }

  /** Whether the sender counted and summed up the same. */
  matches(trailer: { readonly size: bigint; readonly crc32: number }): boolean {
    return trailer.size === BigInt(this.#size) && trailer.crc32 === this.#crc;
  }
}
