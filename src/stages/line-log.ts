/** A longer line is cut. */
const MOST_CHARACTERS = 2000;

/** Tells what comes in pieces of bytes line by line. */
export class LineLog {
  readonly #tell: (line: string) => void;
  readonly #decoder = new TextDecoder();
  #rest = '';

  /** @param tell gets each line without its end */
  constructor(tell: (line: string) => void) {
    this.#tell = tell;
  }

  write(bytes: Uint8Array): void {
    this.#take(this.#decoder.decode(bytes, { stream: true }));
  }

  /** For when nothing more comes: the last line may have no end. */
  end(): void {
    this.#take(this.#decoder.decode());
    if (this.#rest !== '') this.#tell(this.#rest);
    this.#rest = '';
  }

  #take(text: string): void {
    const lines = (this.#rest + text).split('\n');
    this.#rest = (lines.pop() ?? '').slice(0, MOST_CHARACTERS);
    for (const line of lines) this.#tell(line.slice(0, MOST_CHARACTERS));
  }
}
