import { PassThrough, Writable } from 'node:stream';

import { expect, it } from 'vitest';

import { GuestOutput } from '../../src/action/guest-output.js';

async function shown(chunks: readonly string[]): Promise<string> {
  const stream = new PassThrough();
  {
    using output = new GuestOutput(stream);
    for (const chunk of chunks) await output.write(Buffer.from(chunk));
  }
  return String(stream.read());
}

it('wraps what a guest says in a token that is new each time', async () => {
  const first = await shown(['a\n']);
  const second = await shown(['a\n']);
  expect(first).toMatch(/^::stop-commands::([0-9a-f-]{36})\na\n::\1::\n$/);
  expect(first).not.toBe(second);
});

it('puts the token on a line of its own after an unfinished line', async () => {
  expect(await shown(['a\nb', '', 'c'])).toMatch(/\na\nbc\n::[0-9a-f-]+::\n$/);
});

it('says nothing between the tokens when the guest says nothing', async () => {
  expect(await shown([])).toMatch(/^::stop-commands::(.+)\n::\1::\n$/);
});

it('waits for a slow reader', async () => {
  const waiting: (() => void)[] = [];
  const slow = new Writable({ highWaterMark: 1, write: (_chunk, _encoding, done) => void waiting.push(done) });
  const output = new GuestOutput(slow);
  let written = false;
  const writing = output.write(Buffer.from('x')).then(() => (written = true));
  await new Promise(setImmediate);
  expect(written).toBe(false);
  while (!written) {
    waiting.shift()?.();
    await new Promise(setImmediate);
  }
  await writing;
  output[Symbol.dispose]();
});

it('drops bytes that come after the end', async () => {
  const stream = new PassThrough();
  const output = new GuestOutput(stream);
  output[Symbol.dispose]();
  output[Symbol.dispose]();
  await output.write(Buffer.from('::error::late\n'));
  expect(String(stream.read())).not.toContain('late');
});
