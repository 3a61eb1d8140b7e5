import { readdir, utimes, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { expect, it } from 'vitest';

import { downloadPaths } from '../../../src/images/registry/download-paths.js';
import { removeLeftDownloads } from '../../../src/images/registry/left-downloads.js';
import { acquireLock } from '../../../src/store/lock.js';
import { temporaryStore } from '../support.js';

it('downloads that nobody goes on with are removed, unless somebody is at them', async () => {
  const { store, processes } = await temporaryStore();
  const { paths } = store;
  const digest = (digit: string): string => `sha256:${digit.repeat(64)}`;
  const write = async (name: string, at: number): Promise<void> => {
    const file = path.join(paths.blobs, name);
    await writeFile(file, 'x');
    await utimes(file, at / 1000, at / 1000);
  };
  const before = Date.parse('2026-01-01');
  const [old, fresh, held] = [before - 1000, before + 1000, digest('c')];
  const name = (digit: string): string => path.basename(downloadPaths(paths, digest(digit)).file);
  await write(`${name('a')}.part`, old);
  await write(`${name('a')}.part.json`, old);
  await write(`${name('b')}.part`, fresh);
  await write(`${name('b')}.part.json`, old);
  await write(`${name('c')}.part`, old);
  await write(name('d'), old);
  const lock = await acquireLock(downloadPaths(paths, held).lock, { processes });
  const removed = await removeLeftDownloads(paths, processes, before);
  expect(removed.map((file) => path.basename(file)).sort()).toEqual(
    [`${name('a')}.part`, `${name('a')}.part.json`, name('d')].sort(),
  );
  expect((await readdir(paths.blobs)).sort()).toEqual(
    [`${name('b')}.part`, `${name('b')}.part.json`, `${name('c')}.part`].sort(),
  );
  await lock.release();
  expect(await readdir(paths.locks)).toEqual([]);
});
