import type { Log } from '../core/log.js';
import { inert } from './inert.js';
import type { Runner } from './runner.js';

/** A log of a CI job keeps every line: more often than this, progress is noise. */
const PROGRESS_INTERVAL_MS = 10_000;

/** The log of a step: plain lines, warnings as annotations, sections as groups that the reader may fold. */
export class ActionLog implements Log {
  readonly #runner: Runner;
  readonly #now: () => number;
  #nextProgress = 0;
  #depth = 0;

  constructor(runner: Runner, now: () => number = () => performance.now()) {
    this.#runner = runner;
    this.#now = now;
  }

  info(text: string): void {
    this.#runner.info(inert(text));
  }

  warn(text: string): void {
    this.#runner.warning(text, { title: 'vm-runner' });
  }

  progress(text: string): void {
    if (this.#now() < this.#nextProgress) return;
    this.#nextProgress = this.#now() + PROGRESS_INTERVAL_MS;
    this.info(text);
  }

  async section<T>(title: string, work: () => Promise<T>): Promise<T> {
    // The runner knows one level of groups: an inner one would end the outer one.
    const isOuter = this.#depth === 0;
    if (isOuter) this.#runner.startGroup(inert(title));
    else this.info(title);
    this.#depth += 1;
    try {
      return await work();
    } finally {
      this.#depth -= 1;
      if (isOuter) this.#runner.endGroup();
    }
  }
}
