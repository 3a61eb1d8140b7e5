import { execFileSync, spawnSync } from 'node:child_process';
import { readFile, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { gunzipSync } from 'node:zlib';

import { describe, expect, it } from 'vitest';

import { SCRATCH_BYTES } from '../../src/images/image.js';
import { readPackedScratch, unpackScratch } from '../../src/images/scratch-disk.js';
import { SCRATCH } from '../support/fake-host.js';
import { temporaryDirectory } from '../support/temporary-directory.js';
import { rejection, temporaryStore } from './support.js';

const PATH = '/usr/sbin:/usr/bin:/sbin:/bin';

async function rooms() {
  const { store, processes } = await temporaryStore();
  return { store: store.paths, processes };
}

describe('the scratch disk that is shipped', () => {
  it('is a sound ext4 without a journal, which takes next to nothing of the disk', async () => {
    const file = await unpackScratch(await rooms(), await readPackedScratch(SCRATCH));
    const { size, blocks, mode } = await stat(file);
    expect([size, mode & 0o777]).toEqual([SCRATCH_BYTES, 0o444]);
    expect(blocks * 512).toBeLessThan(2 ** 20);
    expect((await stat(SCRATCH)).size).toBeLessThan(100_000);
    execFileSync('e2fsck', ['-fn', file], { env: { PATH }, stdio: ['ignore', 'ignore', 'pipe'] });
    const facts = execFileSync('dumpe2fs', ['-h', file], { env: { PATH }, encoding: 'utf8', stdio: 'pipe' });
    expect(facts).toMatch(/^Filesystem volume name: +scratch$/m);
    expect(facts).not.toContain('has_journal');
  });

  it('is unpacked once', async () => {
    const [where, packed] = [await rooms(), await readPackedScratch(SCRATCH)];
    const file = await unpackScratch(where, packed);
    const { ino } = await stat(file);
    expect(await unpackScratch(where, packed)).toBe(file);
    expect((await stat(file)).ino).toBe(ino);
  });

  it('is what its script makes with that version of mke2fs, and what another one leaves as it is', async () => {
    const output = path.join(await temporaryDirectory(), 'scratch.gz');
    const script = path.resolve(import.meta.dirname, '../../scripts/build-scratch.mjs');
    const { status, stderr } = spawnSync(process.execPath, [script, output], { encoding: 'utf8' });
    expect(status).toBe(0);
    if (stderr.includes('stays as it is')) return;
    expect(gunzipSync(await readFile(output)).equals(gunzipSync(await readFile(SCRATCH)))).toBe(true);
  });

  it('is refused when it is of another format', async () => {
    const file = path.join(await temporaryDirectory(), 'scratch.gz');
    await writeFile(file, (await readFile(SCRATCH)).subarray(0, 100));
    expect(
      (await rejection(readPackedScratch(file).then(async (packed) => unpackScratch(await rooms(), packed)))).code,
    ).toBe('host-file-failed');
  });
});
