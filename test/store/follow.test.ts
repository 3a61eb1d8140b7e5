import { appendFileSync, renameSync, truncateSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { expect, it } from 'vitest';

import { follow, lengthOf } from '../../src/store/follow.js';
import { temporaryDirectory } from '../support/temporary-directory.js';

const GOES_ON = (): Promise<boolean> => Promise.resolve(true);
const signal = (): AbortSignal => AbortSignal.timeout(20_000);

async function log(): Promise<string> {
  return path.join(await temporaryDirectory(), 'log');
}

async function textOf(chunks: AsyncIterable<Uint8Array>): Promise<string> {
  const all: Uint8Array[] = [];
  for await (const chunk of chunks) all.push(chunk);
  return Buffer.concat(all).toString();
}

it('reads what was written before the end, and ends', async () => {
  const file = await log();
  writeFileSync(file, 'one\n');
  const goesOn = (): Promise<boolean> => {
    // The last word of whoever writes it.
    appendFileSync(file, 'two\n');
    return Promise.resolve(false);
  };
  expect(await textOf(follow(file, { goesOn, signal: signal() }))).toBe('one\ntwo\n');
  expect(await textOf(follow(file, { from: 4, goesOn: () => Promise.resolve(false), signal: signal() }))).toBe('two\n');
});

it('waits for a file that is not there yet, and begins anew with one that was shortened', async () => {
  const file = await log();
  expect(await lengthOf(file)).toBe(0);
  const chunks = follow(file, { goesOn: GOES_ON, signal: signal(), intervalMs: 1 });
  const first = chunks.next();
  writeFileSync(file, 'long line\n');
  expect(Buffer.from((await first).value ?? []).toString()).toBe('long line\n');
  truncateSync(file);
  // The place is given up before anything new is there.
  expect((await chunks.next()).value).toHaveLength(0);
  appendFileSync(file, 'new\n');
  expect(Buffer.from((await chunks.next()).value ?? []).toString()).toBe('new\n');
  await chunks.return();
});

it('loses nothing of a file that gives way to another one, whenever that happens', async () => {
  const file = await log();
  const rounds = 300;
  writeFileSync(file, '0 after\n');
  let seen = '';
  let round = 0;
  const rotate = (): void => {
    // The one before was read: two changes between two looks are more than can be followed.
    if (seen.endsWith(`${round} after\n`)) {
      round += 1;
      // All at once for whoever reads in this process, and between any two of its steps.
      appendFileSync(file, `${round} before\n`);
      renameSync(file, `${file}.1`);
      writeFileSync(file, `${round} after\n`);
    }
    if (round < rounds) setTimeout(rotate, round % 3);
  };
  rotate();
  const goesOn = (): Promise<boolean> => Promise.resolve(!seen.endsWith(`${rounds} after\n`));
  for await (const chunk of follow(file, { goesOn, signal: signal(), intervalMs: 1 })) {
    seen += Buffer.from(chunk).toString();
  }
  const wanted = Array.from({ length: rounds }, (_, at) => `${at + 1} before\n${at + 1} after\n`);
  expect(seen).toBe(['0 after\n', ...wanted].join(''));
});
