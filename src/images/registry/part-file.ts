import { constants } from 'node:fs';
import { open, readFile, rm, type FileHandle } from 'node:fs/promises';

import { fileError, systemCode, toVmRunnerError, type VmRunnerError } from '../../core/errors.js';
import { writeWhole } from '../../store/whole-file.js';
import { fileStep } from '../file-step.js';
import { jsonObject } from './body.js';
import { ByteRanges, type ByteRange } from './byte-ranges.js';

/** How often what is there is made to last. As much as comes in this time comes twice after a crash. */
const CHECKPOINT_MS = 250;
const MOST_RANGES = 4096;

/**
 * A download that is not whole yet, with a record beside it of what is there. The record only ever tells of bytes that the
 * disk has, so that it also holds after a power cut.
 */
export class PartFile {
  readonly path: string;
  readonly size: number;
  /** Bytes that were there when it was opened. */
  readonly resumedBytes: number;
  readonly #file: FileHandle;
  readonly #present: ByteRanges;
  #lastCheckpoint = performance.now();
  #checkpoint: Promise<void> | undefined;
  #failure: VmRunnerError | undefined;

  private constructor(path: string, size: number, file: FileHandle, present: ByteRanges) {
    this.path = path;
    this.size = size;
    this.#file = file;
    this.#present = present;
    this.resumedBytes = present.bytes;
  }

  /** Goes on with what an earlier process left, if it fits. Only one process may have it open. */
  static async open(path: string, size: number): Promise<PartFile> {
    const flags = constants.O_RDWR | constants.O_CREAT;
    const file = await fileStep('open a download', path, open(path, flags, 0o600));
    try {
      const present = await readRecord(recordPath(path), size);
      const { size: fileBytes } = await fileStep('look at a download', path, file.stat());
      const fits = present.all.every(([, to]) => to <= fileBytes);
      if (!fits) present.clear();
      return new PartFile(path, size, file, present);
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  get presentBytes(): number {
    return this.#present.bytes;
  }

  missing(range: ByteRange = [0, this.size]): readonly ByteRange[] {
    return this.#present.missing(range);
  }

  /** @returns how many of the bytes are new */
  async write(pieces: readonly Uint8Array[], at: number): Promise<number> {
    if (this.#failure !== undefined) throw this.#failure;
    let done = 0;
    for (let rest = pieces; rest.length > 0;) {
      const { bytesWritten } = await fileStep('write a download', this.path, this.#file.writev(rest, at + done));
      done += bytesWritten;
      rest = skip(rest, bytesWritten);
    }
    const before = this.#present.bytes;
    this.#present.add([at, at + done]);
    this.#considerCheckpoint();
    return this.#present.bytes - before;
  }

  /** Forgets everything that is there. */
  async reset(): Promise<void> {
    await this.#checkpoint;
    this.#present.clear();
    await rm(recordPath(this.path), { force: true });
    await fileStep('empty a download', this.path, this.#file.truncate(0));
  }

  /** Makes everything that is there last, and lets go of it. */
  async close(): Promise<void> {
    try {
      await this.#checkpoint;
      if (this.#failure === undefined) await this.#makeLast();
    } finally {
      await this.#file.close();
    }
  }

  /** Lets go of a whole download. Nothing makes it last: whoever finds it later compares its digest. */
  async finish(): Promise<void> {
    await this.#checkpoint;
    await this.#file.close();
    await rm(recordPath(this.path), { force: true });
  }

  #considerCheckpoint(): void {
    if (this.#checkpoint !== undefined || performance.now() - this.#lastCheckpoint < CHECKPOINT_MS) return;
    this.#checkpoint = this.#makeLast()
      // The next write throws it.
      .catch((error: unknown) => (this.#failure = toVmRunnerError(error)))
      .then(() => {
        this.#checkpoint = undefined;
        this.#lastCheckpoint = performance.now();
      });
  }

  async #makeLast(): Promise<void> {
    const record = { version: 1, size: this.size, present: this.#present.all };
    await fileStep('write a download', this.path, this.#file.datasync());
    await writeWhole(recordPath(this.path), `${JSON.stringify(record)}\n`);
  }
}

/** What is left of pieces when so many bytes of them are gone. */
function skip(pieces: readonly Uint8Array[], bytes: number): readonly Uint8Array[] {
  let gone = bytes;
  return pieces.flatMap((piece) => {
    const rest = piece.subarray(Math.min(gone, piece.byteLength));
    gone -= piece.byteLength - rest.byteLength;
    return rest.byteLength === 0 ? [] : [rest];
  });
}

function recordPath(path: string): string {
  return `${path}.json`;
}

/** What a record tells; nothing when it is missing or makes no sense. */
async function readRecord(path: string, size: number): Promise<ByteRanges> {
  let value: Readonly<Record<string, unknown>> | undefined;
  try {
    value = jsonObject(await readFile(path));
  } catch (cause) {
    if (systemCode(cause) !== 'ENOENT') throw fileError('read the record of a download', path, cause);
  }
  const present: unknown = value?.['present'];
  if (value?.['version'] !== 1 || value['size'] !== size || !Array.isArray(present)) return new ByteRanges();
  if (present.length > MOST_RANGES || !present.every((range) => isRange(range, size))) return new ByteRanges();
  return new ByteRanges(present as ByteRange[]);
}

function isRange(value: unknown, size: number): boolean {
  if (!Array.isArray(value) || value.length !== 2) return false;
  const [from, to] = value as readonly unknown[];
  return (
    Number.isSafeInteger(from) &&
    Number.isSafeInteger(to) &&
    0 <= Number(from) &&
    Number(from) < Number(to) &&
    Number(to) <= size
  );
}
