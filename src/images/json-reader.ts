import { VmRunnerError } from '../core/errors.js';

const MOST_BYTES = 4 * 2 ** 20;

/**
 * Fields of a JSON document that somebody else wrote: each is asked for by its type, and absent ones and `null` are the same, as
 * Go's programs, which write most of them, have it.
 */
export class JsonReader {
  readonly #value: unknown;
  readonly #place: string;

  /** @param place what the document is, for the sentence when a field is wrong: `configuration of the image` */
  constructor(value: unknown, place: string) {
    this.#value = value;
    this.#place = place;
  }

  /** @throws image-invalid when it is no JSON, or too long. */
  static parse(bytes: Uint8Array, place: string): JsonReader {
    if (bytes.length > MOST_BYTES) throw invalid(place, `has more than ${MOST_BYTES} bytes`);
    try {
      return new JsonReader(JSON.parse(Buffer.from(bytes).toString('utf8')), place);
    } catch (cause) {
      throw invalid(place, 'is no JSON', cause);
    }
  }

  get isPresent(): boolean {
    return this.#value !== undefined && this.#value !== null;
  }

  field(name: string): JsonReader {
    const isObject = typeof this.#value === 'object' && this.#value !== null && !Array.isArray(this.#value);
    if (this.isPresent && !isObject) throw invalid(this.#place, 'is no object');
    const fields = (this.#value ?? {}) as Readonly<Record<string, unknown>>;
    return new JsonReader(Object.hasOwn(fields, name) ? fields[name] : undefined, `"${name}" in the ${this.#place}`);
  }

  /** Empty when absent. */
  get text(): string {
    if (!this.isPresent) return '';
    if (typeof this.#value === 'string') return this.#value;
    throw invalid(this.#place, 'is no text');
  }

  /** 0 when absent. */
  get wholeNumber(): number {
    if (!this.isPresent) return 0;
    if (Number.isSafeInteger(this.#value) && (this.#value as number) >= 0) return this.#value as number;
    throw invalid(this.#place, 'is no whole number');
  }

  /** Empty when absent. */
  list(most = 10_000): JsonReader[] {
    if (!this.isPresent) return [];
    if (!Array.isArray(this.#value)) throw invalid(this.#place, 'is no list');
    if (this.#value.length > most) throw invalid(this.#place, `has more than ${most} parts`);
    return this.#value.map((value: unknown, index) => new JsonReader(value, `part ${index + 1} of the ${this.#place}`));
  }

  texts(): string[] {
    return this.list().map((item) => item.text);
  }

  /** Names of the fields of an object; empty when absent. */
  names(): string[] {
    this.field('');
    return this.isPresent ? Object.keys(this.#value as object) : [];
  }
}

function invalid(place: string, what: string, cause?: unknown): VmRunnerError {
  return new VmRunnerError('image-invalid', `${place} ${what}`, {
    hint: 'The image was made wrong or is no image: build it again, or name another one.',
    cause,
  });
}
