import { expect, it } from 'vitest';

import { LineLog } from '../../src/stages/line-log.js';

function told(...pieces: readonly (string | Uint8Array)[]): string[] {
  const lines: string[] = [];
  const log = new LineLog((line) => lines.push(line));
  for (const piece of pieces) log.write(Buffer.from(piece));
  log.end();
  return lines;
}

it('tells lines that come in pieces, and the last one without its end, too', () => {
  expect(told('on', 'e\ntwo\n\nthr', 'ee')).toEqual(['one', 'two', '', 'three']);
  expect(told('one\n')).toEqual(['one']);
  expect(told()).toEqual([]);
});

it('puts letters together that were cut apart, and tells of a letter that never ended', () => {
  const umlaut = Buffer.from('ü');
  expect(told(umlaut.subarray(0, 1), umlaut.subarray(1), '\n')).toEqual(['ü']);
  expect(told(umlaut.subarray(0, 1))).toEqual(['\uFFFD']);
});

it('cuts lines, and keeps no more of one however long it is', () => {
  expect(told('a'.repeat(1500), 'b'.repeat(5000), 'c\nd')).toEqual([`${'a'.repeat(1500)}${'b'.repeat(500)}`, 'd']);
});
