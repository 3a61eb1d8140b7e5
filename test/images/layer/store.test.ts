import { chmod, mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { gzipSync } from 'node:zlib';

import { describe, expect, it } from 'vitest';

import { LAYER_LIMITS } from '../../../src/images/layer/limits.js';
import { convertLayer } from '../../../src/images/layer/pass.js';
import { LayerFiles } from '../../../src/images/layer/read-file.js';
import { LayerStore } from '../../../src/images/layer/store.js';
import { writeLayer } from '../../support/layer-writer.js';
import { digest } from '../../support/oci-layout.js';
import { oddLayers } from '../../support/odd-layers.js';
import { temporaryDirectory } from '../../support/temporary-directory.js';
import { deadProcess, recordingLog, temporaryStore } from '../support.js';

const TAR = writeLayer([{ name: 'a', data: 'A'.repeat(5000) }, { name: 'b' }, { name: 'c', data: 'C' }]);

async function setUp(tar: Buffer = TAR, compress: (tar: Buffer) => Buffer = gzipSync) {
  const { store, processes } = await temporaryStore();
  const log = recordingLog();
  const file = path.join(await temporaryDirectory(), 'layer');
  const blob = compress(tar);
  await writeFile(file, blob);
  const layers = new LayerStore({ store: store.paths, processes });
  const context = { log, signal: new AbortController().signal };
  return { store: store.paths, processes, layers, log, context, file, blob, diffId: digest(tar) };
}

describe('LayerStore', () => {
  it('keeps the bytes of files from a block of their own on, and all else in an index', async () => {
    const { layers, context, file, blob, diffId, store } = await setUp();
    expect(await layers.has(diffId)).toBe(false);
    await layers.add({ file, digest: digest(blob) }, diffId, context);
    expect(await layers.has(diffId)).toBe(true);
    const { entries, rawBytes, dataBytes } = await layers.index(diffId);
    expect(entries.map(({ path: name, size, block }) => [name, size, block])).toEqual([
      ['a', 5000, 0],
      ['b', 0, 0],
      ['c', 1, 2],
    ]);
    expect([rawBytes, dataBytes]).toEqual([TAR.length, 3 * 4096]);
    const data = await readFile(layers.dataFile(diffId));
    expect(data.length).toBe(dataBytes);
    expect(data.toString('latin1').replaceAll('\0', '')).toBe(`${'A'.repeat(5000)}C`);
    for (const name of ['data', 'index']) {
      expect((await stat(path.join(layers.directory(diffId), name))).mode & 0o777).toBe(0o444);
    }
    expect(await readdir(store.temporary)).toEqual([]);
    expect(await readdir(store.locks)).toEqual([]);
  });

  it('finds a layer whose digest nobody told', async () => {
    const { layers, context, file, diffId } = await setUp();
    expect(await layers.import({ file }, context)).toBe(diffId);
    expect(await layers.import({ stream: [TAR.subarray(0, 700), TAR.subarray(700)] as never }, context)).toBe(diffId);
    expect(await layers.has(diffId)).toBe(true);
  });

  it('takes a part of a file for a layer', async () => {
    const { layers, context, file, diffId } = await setUp();
    await writeFile(file, Buffer.concat([Buffer.alloc(1000, 'x'), TAR, Buffer.alloc(1000, 'y')]));
    await layers.add({ file, offset: 1000, length: TAR.length }, diffId, context);
    expect(await layers.has(diffId)).toBe(true);
  });

  it('keeps long runs of zeros as holes', async () => {
    const zeros = writeLayer([{ name: 'a', data: Buffer.concat([Buffer.alloc(8 * 2 ** 20), Buffer.from('end')]) }]);
    const { layers, context, file, diffId } = await setUp(zeros);
    await layers.add({ file }, diffId, context);
    const { size, blocks } = await stat(layers.dataFile(diffId));
    expect(size).toBe(8 * 2 ** 20 + 4096);
    expect(blocks * 512).toBeLessThan(2 ** 20);
    const files = new LayerFiles(layers.dataFile(diffId), (await layers.index(diffId)).entries);
    expect((await files.read('a', 2 ** 30)).subarray(-4).toString()).toBe('\0end');
  });

  it('gives every byte of every file back', async () => {
    for (const tar of oddLayers()) {
      const { layers, context, file, diffId } = await setUp(tar);
      await layers.add({ file }, diffId, context);
      const { entries } = await layers.index(diffId);
      const files = new LayerFiles(layers.dataFile(diffId), entries);
      for (const { kind, path: name, size } of entries) {
        if (kind === 'file') expect((await files.read(name, 2 ** 30)).length).toBeGreaterThanOrEqual(Math.min(size, 1));
      }
    }
  });

  it('converts once when many ask, and tells those who wait for whom', async () => {
    const { layers, context, file, diffId, processes, store } = await setUp();
    const logs = [recordingLog(), recordingLog(), recordingLog()];
    await Promise.all(logs.map((log) => layers.add({ file }, diffId, { ...context, log })));
    const lines = logs.flatMap(({ lines: some }) => some);
    expect(new Set(lines)).toEqual(
      new Set([`info: waiting for process ${processes.self.pid}, which is converting the same layer`]),
    );
    expect(await readdir(store.layers)).toEqual([diffId.slice(7)]);
  });

  it.each([
    [
      'another digest than its blob',
      { digest: `sha256:${'0'.repeat(64)}` },
      undefined,
      /does not have the digest sha256:0000/,
    ],
    [
      'another digest than the configuration says',
      {},
      `sha256:${'0'.repeat(64)}`,
      /another one than the image's configuration says/,
    ],
  ])('refuses a layer with %s, and leaves nothing', async (_title, more, diffId, reason) => {
    const { layers, context, file, store, diffId: own } = await setUp();
    const adding = layers.add({ file, ...more }, diffId ?? own, context);
    await expect(adding).rejects.toMatchObject({ code: 'image-invalid' });
    await expect(adding).rejects.toThrow(reason);
    expect(await readdir(store.layers)).toEqual([]);
    expect(await readdir(store.temporary)).toEqual([]);
    expect(await readdir(store.locks)).toEqual([]);
  });

  it('is not led out of the store by a digest', async () => {
    const { layers, context, file } = await setUp();
    await expect(layers.add({ file }, 'sha256:../../x', context)).rejects.toMatchObject({ code: 'image-invalid' });
  });

  it('leaves nothing of a conversion that was cancelled', async () => {
    const { layers, file, store, diffId, log } = await setUp();
    const signal = AbortSignal.abort();
    await expect(layers.add({ file }, diffId, { log, signal })).rejects.toMatchObject({ code: 'cancelled' });
    expect(await readdir(store.layers)).toEqual([]);
    expect(await readdir(store.temporary)).toEqual([]);
  });

  it('takes over from a process that was killed, and from a directory that it left without an index', async () => {
    const { layers, context, file, store, diffId, processes } = await setUp();
    await writeFile(path.join(store.locks, `layer-${diffId.slice(7)}`), JSON.stringify(await deadProcess(processes)));
    await mkdir(layers.directory(diffId));
    await writeFile(layers.dataFile(diffId), 'half');
    await layers.add({ file }, diffId, context);
    expect((await layers.index(diffId)).entries).toHaveLength(3);
  });

  it('says that an index is damaged', async () => {
    const { layers, context, file, diffId } = await setUp();
    await layers.add({ file }, diffId, context);
    const index = path.join(layers.directory(diffId), 'index');
    const bytes = await readFile(index);
    await chmod(index, 0o644);
    for (const damaged of [bytes.subarray(0, bytes.length - 1), Buffer.concat([bytes, bytes]), Buffer.from('x')]) {
      await writeFile(index, damaged);
      await expect(layers.index(diffId)).rejects.toMatchObject({ code: 'store-damaged', subject: index });
    }
  });

  it('removes a layer, and is content when there is none', async () => {
    const { layers, context, file, diffId, store } = await setUp();
    await layers.add({ file }, diffId, context);
    await layers.remove(diffId);
    await layers.remove(diffId);
    expect(await readdir(store.layers)).toEqual([]);
  });
});

describe('convertLayer', () => {
  it('stops at a layer that grows out of all proportion, and at one that is too large', async () => {
    const bomb = writeLayer([{ name: 'a', data: Buffer.alloc(4_000_000) }]);
    const { file, context } = await setUp(bomb);
    const limits = { ...LAYER_LIMITS, freeBytes: 2 ** 20, ratio: 100 };
    const converting = convertLayer({ file }, await temporaryDirectory(), context.signal, limits);
    await expect(converting).rejects.toThrow(/grows more than 100 times/);
    const small = { ...LAYER_LIMITS, rawBytes: 2 ** 20 };
    await expect(convertLayer({ file }, await temporaryDirectory(), context.signal, small)).rejects.toThrow(
      /more than 1048576 bytes/,
    );
  });
});
