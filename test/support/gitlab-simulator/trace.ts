import { EventEmitter } from 'node:events';

/** The job log. */
export class Trace {
  readonly #grown = new EventEmitter();
  #text = '';

  get text(): string {
    return this.#text;
  }

  append(text: string): void {
    this.#text += text;
    this.#grown.emit('grown');
  }

  line(text: string): void {
    this.append(`${text}\n`);
  }

  /** Resolves when the log holds the text; fails with the log when it does not in time. */
  shows(text: string, withinMs = 60_000): Promise<void> {
    return new Promise((resolve, reject) => {
      const look = (): void => {
        if (!this.#text.includes(text)) return;
        clearTimeout(timer);
        this.#grown.off('grown', look);
        resolve();
      };
      const timer = setTimeout(() => {
        this.#grown.off('grown', look);
        reject(new Error(`the job log does not show ${JSON.stringify(text)} within ${withinMs} ms:\n${this.#text}`));
      }, withinMs);
      this.#grown.on('grown', look);
      look();
    });
  }
}
