const LARGEST_WORD = 64;

/**
 * Looks for a line that our own script in the guest writes before anything else: a marker that nobody can guess, and one word.
 * All other bytes pass as they are.
 */
export class MarkerFilter {
  readonly #marker: Buffer;
  #held: Buffer | undefined = Buffer.alloc(0);

  /** The word that was found. */
  word: string | undefined;

  constructor(marker: string) {
    this.#marker = Buffer.from(`${marker} `);
  }

  /** @returns what is to be passed on */
  push(bytes: Uint8Array): Uint8Array {
    if (this.#held === undefined) return bytes;
    const held = Buffer.concat([this.#held, bytes]);
    const common = Math.min(held.length, this.#marker.length);
    if (!held.subarray(0, common).equals(this.#marker.subarray(0, common))) return this.#release(held);
    const end = held.indexOf('\n');
    if (end === -1) {
      if (held.length > this.#marker.length + LARGEST_WORD) return this.#release(held);
      this.#held = held;
      return new Uint8Array();
    }
    this.word = held.toString('latin1', this.#marker.length, end).trimEnd();
    return this.#release(held.subarray(end + 1));
  }

  /** What is held still, when nothing more comes. */
  end(): Uint8Array {
    return this.#release(this.#held ?? Buffer.alloc(0));
  }

  #release(bytes: Buffer): Buffer {
    this.#held = undefined;
    return bytes;
  }
}
