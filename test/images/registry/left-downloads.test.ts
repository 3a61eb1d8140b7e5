import { readdir, utimes, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { expect, it } from 'vitest';

import { downloadPaths } from '../../../src/images/registry/download-paths.js';
import { leftDownloads, LEFT_DOWNLOAD_MS } from '../../../src/images/registry/left-downloads.js';
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
  const rooms = { store: paths, processes };
  const how = { now: before + LEFT_DOWNLOAD_MS, dryRun: false };
  const would = await leftDownloads(rooms, { ...how, dryRun: true });
  expect(await readdir(paths.blobs)).toHaveLength(6);
  const removed = await leftDownloads(rooms, how);
  expect(removed).toEqual(would);
  expect(removed.map((each) => each.name).sort()).toEqual([name('a'), name('d')].sort());
  expect((await readdir(paths.blobs)).sort()).toEqual(
    [`${name('b')}.part`, `${name('b')}.part.json`, `${name('c')}.part`].sort(),
  );
  expect(await leftDownloads(rooms, { ...how, budgetBytes: 0 })).toMatchObject([
    { name: name('b'), reason: 'over the budget for downloads' },
  ]);
  await lock.release();
  expect(await readdir(paths.locks)).toEqual([]);
});
