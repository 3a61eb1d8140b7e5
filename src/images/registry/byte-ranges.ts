/** From the first byte to before the last. */
export type ByteRange = readonly [from: number, to: number];

/** Which bytes of a file are there: ranges in order that do not touch. */
export class ByteRanges {
  #ranges: ByteRange[] = [];

  constructor(ranges: readonly ByteRange[] = []) {
    for (const range of ranges) this.add(range);
  }

  get all(): readonly ByteRange[] {
    return this.#ranges;
  }

  /** How many bytes. */
  get bytes(): number {
    return this.#ranges.reduce((sum, [from, to]) => sum + to - from, 0);
  }

  add([from, to]: ByteRange): void {
    if (to <= from) return;
    const apart = this.#ranges.filter((range) => range[1] < from || range[0] > to);
    const touching = this.#ranges.filter((range) => range[1] >= from && range[0] <= to);
    const merged: ByteRange = [
      Math.min(from, ...touching.map((range) => range[0])),
      Math.max(to, ...touching.map((range) => range[1])),
    ];
    this.#ranges = [...apart, merged].sort((a, b) => a[0] - b[0]);
  }

  /** What is not there yet of a range. */
  missing([from, to]: ByteRange): readonly ByteRange[] {
    const gaps: ByteRange[] = [];
    let at = from;
    for (const range of this.#ranges) {
      if (range[1] <= at || range[0] >= to) continue;
      if (range[0] > at) gaps.push([at, range[0]]);
      at = range[1];
    }
    if (at < to) gaps.push([at, to]);
    return gaps;
  }

  clear(): void {
    this.#ranges = [];
  }
}
