import { describe, expect, it } from 'vitest';

import { formatCount, formatDuration, formatSize, parseDuration, parseSize } from '../../src/core/units.js';

describe('formatCount', () => {
  it('says one of something, and several', () => {
    expect([0, 1, 2].map((number) => formatCount(number, 'file'))).toEqual(['0 files', '1 file', '2 files']);
    expect([1, 2].map((number) => formatCount(number, 'job waits', 'jobs wait'))).toEqual([
      '1 job waits',
      '2 jobs wait',
    ]);
  });
});

describe('parseSize', () => {
  it.each([
    ['512', 512 * 2 ** 20],
    ['2G', 2 * 2 ** 30],
    ['1.5GiB', 1.5 * 2 ** 30],
    ['64k', 64 * 2 ** 10],
    ['1T', 2 ** 40],
    ['256MB', 256 * 2 ** 20],
  ])('reads %s', (text, bytes) => {
    expect(parseSize(text)).toBe(bytes);
  });

  it.each(['', 'many', '-1G', '2X', '1e3', '2 G G', '0x10', '99999999999T'])('refuses %j', (text) => {
    expect(parseSize(text)).toBeUndefined();
  });
});

describe('parseDuration', () => {
  it.each([
    ['90', 90_000],
    ['0.5', 500],
    ['1h30m', 5_400_000],
    ['500ms', 500],
    ['2d', 172_800_000],
    ['1m5s', 65_000],
  ])('reads %s', (text, milliseconds) => {
    expect(parseDuration(text)).toBe(milliseconds);
  });

  it.each(['', 'soon', '5x', '-3s', '1h 30m', 's'])('refuses %j', (text) => {
    expect(parseDuration(text)).toBeUndefined();
  });
});

describe('what people read', () => {
  it('shows sizes with a fitting unit', () => {
    expect([0, 1023, 1536, 5 * 2 ** 20, 2.25 * 2 ** 30].map(formatSize)).toEqual([
      '0 B',
      '1023 B',
      '1.5 KiB',
      '5.0 MiB',
      '2.3 GiB',
    ]);
  });

  it('shows durations with a fitting unit', () => {
    expect([12, 2100, 245_000, 12_000_000, 183_600_000].map(formatDuration)).toEqual([
      '12 ms',
      '2.1 s',
      '4 m 05 s',
      '3 h 20 m',
      '2 d 3 h',
    ]);
  });
});
