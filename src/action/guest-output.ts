import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import type { Writable } from 'node:stream';

const NEWLINE = 0x0a;

/**
 * Hands the output of a guest to the step's log, between two lines that make the runner read it as text only: a script in a
 * VM must not set outputs, masks or annotations of the job.[1] While it is open nothing else may write to the stream.
 *
 * Standard output and standard error go the same way, in the order in which they came: the log of a step has one stream.
 *
 * [1] https://docs.github.com/actions/reference/workflow-commands-for-github-actions#stopping-and-starting-workflow-commands
 */
export class GuestOutput implements Disposable {
  readonly #stream: Writable;
  /** New for each use, and never told to the guest: who knows it can switch commands on again. */
  readonly #token = randomUUID();
  #atLineStart = true;
  #open = true;

  constructor(stream: Writable) {
    this.#stream = stream;
    stream.write(`::stop-commands::${this.#token}\n`);
  }

  /** Resolves when the stream wants more. Bytes that come after the end are dropped. */
  async write(bytes: Uint8Array): Promise<void> {
    if (!this.#open || bytes.length === 0) return;
    this.#atLineStart = bytes[bytes.length - 1] === NEWLINE;
    if (!this.#stream.write(bytes)) await once(this.#stream, 'drain');
  }

  /** Switches commands on again. Safe to call twice. */
  [Symbol.dispose](): void {
    if (!this.#open) return;
    this.#open = false;
    this.#stream.write(`${this.#atLineStart ? '' : '\n'}::${this.#token}::\n`);
  }
}
