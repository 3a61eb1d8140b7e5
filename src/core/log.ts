/** Where vm-runner tells what it does. Front ends decide how it looks; nothing below them writes to a stream. */
export interface Log {
  /** One line of progress. */
  info(text: string): void;
  /** Something the reader should change, though the job goes on. */
  warn(text: string): void;
  /** A state that changes quickly (a download, a build). A terminal shows it in place, a log file only now and then. */
  progress(text: string): void;
  /** Runs `work` under a title that front ends may show folded. */
  section<T>(title: string, work: () => Promise<T>): Promise<T>;
}

/** One step of a job's way, in milliseconds since the job began. */
export interface Span {
  readonly name: string;
  readonly startMs: number;
  readonly endMs: number;
}

/** What happened when: all front ends print it, reports carry it. */
export class Timeline {
  readonly #origin = performance.now();
  readonly #spans: Span[] = [];

  get spans(): readonly Span[] {
    return this.#spans;
  }

  /** Milliseconds since the timeline began. */
  get elapsedMs(): number {
    return performance.now() - this.#origin;
  }

  /** Measures `work`, also when it fails. */
  async measure<T>(name: string, work: () => Promise<T>): Promise<T> {
    const startMs = this.elapsedMs;
    try {
      return await work();
    } finally {
      this.#spans.push({ name, startMs, endMs: this.elapsedMs });
    }
  }

  /** Adds a span that something else measured. */
  add(span: Span): void {
    this.#spans.push(span);
  }
}

/** `prepare 2.1 s (image 12 ms, create 40 ms, boot 1.9 s, resume 60 ms)`: the timeline in one line. */
export function renderTimeline(spans: readonly Span[], format: (milliseconds: number) => string): string {
  return spans.map((span) => `${span.name} ${format(span.endMs - span.startMs)}`).join(', ');
}
