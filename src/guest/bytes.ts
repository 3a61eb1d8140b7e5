const NOTHING = Buffer.alloc(0);

/** Bytes that come in pieces of any size, taken in pieces of the reader's choice. */
export class ByteReader {
  readonly #pieces: AsyncIterator<Uint8Array>;
  #held: Uint8Array = NOTHING;

  constructor(pieces: AsyncIterable<Uint8Array>) {
    this.#pieces = pieces[Symbol.asyncIterator]();
  }

  /** Between one byte and `most`; `undefined` at the end. */
  async some(most: number): Promise<Uint8Array | undefined> {
    while (this.#held.length === 0) {
      const next = await this.#pieces.next();
      if (next.done === true) return undefined;
      this.#held = next.value;
    }
    const taken = this.#held.subarray(0, most);
    this.#held = this.#held.subarray(taken.length);
    return taken;
  }

  /** As many as asked for, or fewer when the end comes first. */
  async upTo(count: number): Promise<Buffer> {
    const parts: Uint8Array[] = [];
    let missing = count;
    while (missing > 0) {
      const part = await this.some(missing);
      if (part === undefined) break;
      parts.push(part);
      missing -= part.length;
    }
    return Buffer.concat(parts);
  }

  /** Tells whoever makes the bytes that no more are wanted. */
  async close(): Promise<void> {
    await this.#pieces.return?.();
  }
}
