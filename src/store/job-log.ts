import { open, rename, type FileHandle } from 'node:fs/promises';

import { fileError, systemCode } from '../core/errors.js';
import type { VmPaths } from './paths.js';

/** How much of a job's output is kept at least; twice as much at most. */
const MOST_BYTES = 2 ** 20;

/**
 * What the programs of a job print, in a file of its VM: its end, so that a job that prints without end fills no disk. It is
 * as the job printed it: what a CI system masks in its own log is not masked here.
 */
export class JobLog implements AsyncDisposable {
  readonly #paths: Pick<VmPaths, 'jobLog' | 'jobLogBefore'>;
  readonly #mostBytes: number;
  #file: FileHandle | undefined;
  #size = 0;
  #writing: Promise<void> = Promise.resolve();
  #failure: unknown;

  private constructor(paths: Pick<VmPaths, 'jobLog' | 'jobLogBefore'>, mostBytes: number) {
    this.#paths = paths;
    this.#mostBytes = mostBytes;
  }

  /** @param mostBytes how long the file may become before a new one is begun; default 1 MiB */
  static async open(paths: Pick<VmPaths, 'jobLog' | 'jobLogBefore'>, mostBytes = MOST_BYTES): Promise<JobLog> {
    const log = new JobLog(paths, mostBytes);
    await log.#reopen();
    return log;
  }

  /** Appends bytes, in the order of the calls. @throws what kept it from being written; nothing more is written then. */
  write(bytes: Uint8Array): Promise<void> {
    const written = this.#writing.then(() => this.#append(bytes));
    this.#writing = written.catch(() => undefined);
    return written;
  }

  async #append(bytes: Uint8Array): Promise<void> {
    if (this.#failure !== undefined) return;
    try {
      if (this.#size >= this.#mostBytes) await this.#rotate();
      await this.#file?.write(bytes);
      this.#size += bytes.length;
    } catch (cause) {
      this.#failure = cause;
      throw fileError('keep the output of the job', this.#paths.jobLog, cause);
    }
  }

  async #rotate(): Promise<void> {
    await this.#close();
    try {
      await rename(this.#paths.jobLog, this.#paths.jobLogBefore);
    } catch (cause) {
      // Another program of the job was faster.
      if (systemCode(cause) !== 'ENOENT') throw cause;
    }
    await this.#reopen();
  }

  async #reopen(): Promise<void> {
    try {
      this.#file = await open(this.#paths.jobLog, 'a', 0o600);
      this.#size = (await this.#file.stat()).size;
    } catch (cause) {
      throw fileError('keep the output of the job', this.#paths.jobLog, cause);
    }
  }

  async #close(): Promise<void> {
    await this.#file?.close();
    this.#file = undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#writing;
    await this.#close();
  }
}
