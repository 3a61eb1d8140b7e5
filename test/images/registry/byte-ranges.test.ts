import { describe, expect, it } from 'vitest';

import { ByteRanges, type ByteRange } from '../../../src/images/registry/byte-ranges.js';

describe('ranges of bytes', () => {
  it('melt together where they touch', () => {
    const ranges = new ByteRanges([
      [20, 30],
      [0, 10],
      [40, 50],
      [10, 20],
    ]);
    expect(ranges.all).toEqual([
      [0, 30],
      [40, 50],
    ]);
    expect(ranges.bytes).toBe(40);
    ranges.add([25, 45]);
    expect(ranges.all).toEqual([[0, 50]]);
  });

  it('ignore what is empty', () => {
    expect(new ByteRanges([[5, 5]]).all).toEqual([]);
  });

  it('tell what is missing', () => {
    const ranges = new ByteRanges([
      [10, 20],
      [30, 40],
    ]);
    expect(ranges.missing([0, 50])).toEqual([
      [0, 10],
      [20, 30],
      [40, 50],
    ]);
    expect(ranges.missing([12, 18])).toEqual([]);
    expect(ranges.missing([15, 35])).toEqual([[20, 30]]);
  });

  it('agree with a list of every byte', () => {
    const random = (most: number): number => Math.floor(Math.random() * most);
    for (let round = 0; round < 200; round += 1) {
      const ranges = new ByteRanges();
      const bytes = new Set<number>();
      for (let count = 0; count < 8; count += 1) {
        const from = random(60);
        const range: ByteRange = [from, from + random(12)];
        ranges.add(range);
        for (let at = range[0]; at < range[1]; at += 1) bytes.add(at);
      }
      expect(ranges.bytes).toBe(bytes.size);
      const missing = ranges
        .missing([5, 65])
        .flatMap(([from, to]) => Array.from({ length: to - from }, (_, i) => from + i));
      expect(missing).toEqual(Array.from({ length: 60 }, (_, i) => i + 5).filter((at) => !bytes.has(at)));
    }
  });
});
