import type { Log } from '../core/log.js';
import { formatDuration, formatSize } from '../core/units.js';

const BAR_CHARACTERS = 24;
/** Between two looks of the line: what people can follow. */
const INTERVAL_MS = 100;

/** How far a download is, as one line that changes. */
export class PullProgress {
  readonly #log: Log;
  readonly #name: string;
  readonly #start = performance.now();
  #total = 0;
  #present = 0;
  #fetched = 0;
  #shownAt = -Infinity;
  /** When the last byte came: what is done with them later is not the network's time. */
  #cameAt = performance.now();

  constructor(log: Log, name: string) {
    this.#log = log;
    this.#name = name;
  }

  /** So much more is to come. */
  expect(bytes: number): void {
    this.#total += bytes;
  }

  /** So much was there from an earlier time. */
  resume(bytes: number): void {
    this.#present += bytes;
  }

  /** So much came, or, negative, was of no use. */
  add(bytes: number): void {
    this.#present += bytes;
    if (bytes > 0) this.#fetched += bytes;
    const now = performance.now();
    this.#cameAt = now;
    const isWhole = this.#present >= this.#total;
    if (now - this.#shownAt < INTERVAL_MS && !isWhole) return;
    this.#shownAt = now;
    if (isWhole) {
      this.#log.progress(`pulling ${this.#name}: all of its ${formatSize(this.#total)} came, converting layers`);
      return;
    }
    this.#log.progress(`pulling ${this.#name} ${this.#bar()} ${this.#amount()}, ${this.#rate()}`);
  }

  /** `219 MiB at 68 MiB/s, 4.1 s in all`. */
  summary(): string {
    const took = formatDuration(performance.now() - this.#start);
    return `${formatSize(this.#fetched)} at ${this.#rate()}, ${took} in all`;
  }

  #bar(): string {
    const part = this.#total === 0 ? 1 : Math.min(1, Math.max(0, this.#present / this.#total));
    const full = Math.round(part * BAR_CHARACTERS);
    return `[${'#'.repeat(full)}${'.'.repeat(BAR_CHARACTERS - full)}] ${Math.floor(part * 100)} %`;
  }

  #amount(): string {
    return `${formatSize(Math.max(0, this.#present))} of ${formatSize(this.#total)}`;
  }

  #rate(): string {
    const seconds = Math.max(0.001, (this.#cameAt - this.#start) / 1000);
    return `${formatSize(this.#fetched / seconds)}/s`;
  }
}
