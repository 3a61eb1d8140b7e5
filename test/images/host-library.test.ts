import { execFileSync } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { readdir, utimes, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

import { HostImageLibrary } from '../../src/images/host-library.js';
import { whileMakingImages } from '../../src/images/in-use.js';
import { LayerStore } from '../../src/images/layer/store.js';
import { imageOfConfig } from '../../src/images/made-image.js';
import type { PullFunction } from '../../src/images/pull-function.js';
import type { VmRecord } from '../../src/store/record.js';
import { SCRATCH } from '../support/fake-host.js';
import { writeLayer } from '../support/layer-writer.js';
import { digest, writeLayout } from '../support/oci-layout.js';
import { temporaryDirectory } from '../support/temporary-directory.js';
import { recordingLog, rejection, temporaryStore } from './support.js';

const BASE = writeLayer([{ name: 'base', data: 'base' }]);
const LONG_AGO = new Date('2020-01-01');

/** A registry whose tags mean images of one layer over {@link BASE}. */
function registry() {
  const calls: string[] = [];
  const contents = new Map<string, string>();
  const pull: PullFunction = async ({ repository, tag }, options) => {
    const name = `${repository}:${tag ?? ''}`;
    calls.push(name);
    const layers = [BASE, writeLayer([{ name: 'own', data: contents.get(name) ?? name }])];
    const diffIds = layers.map(digest);
    for (const layer of layers) await options.layers.add({ stream: [layer] as never }, digest(layer), options);
    const config = Buffer.from(JSON.stringify({ os: 'linux', architecture: 'amd64', rootfs: { diff_ids: diffIds } }));
    const image = await imageOfConfig(config, undefined, diffIds, options);
    return { digest: image, pinned: image };
  };
  return { calls, contents, pull };
}

async function setUp() {
  const { store, processes } = await temporaryStore();
  const { calls, contents, pull } = registry();
  const log = recordingLog();
  const context = { log, signal: new AbortController().signal };
  const options = { store: store.paths, processes, agentDirectory: '/nowhere', scratch: SCRATCH };
  const library = (instead: PullFunction = pull): HostImageLibrary =>
    new HostImageLibrary({ ...options, pull: instead });
  /** As if nobody had asked for any of them for a long time. */
  const age = async (): Promise<void> => {
    for (const name of await readdir(store.paths.images))
      await utimes(path.join(store.paths.images, name), LONG_AGO, LONG_AGO);
  };
  const counts = async () => ({
    images: (await readdir(store.paths.images)).length,
    layers: (await readdir(store.paths.layers)).length,
  });
  return { store, processes, calls, contents, pull, log, context, library, age, counts };
}

describe('resolve', () => {
  it('pulls what is not here, and by default nothing that is, whichever way it is named', async () => {
    const { library, context, calls } = await setUp();
    const image = await library().resolve('node:22', context);
    expect(image.reference).toBe('node:22');
    for (const name of ['node:22', 'docker.io/node:22', 'docker.io/library/node:22']) {
      expect(await library().resolve(name, context)).toEqual({ ...image, reference: name });
    }
    expect(calls).toEqual(['library/node:22']);
  });

  it('asks the registry always or never when the policy says so', async () => {
    const { library, context, calls } = await setUp();
    const never = await rejection(library().resolve('node:22', { ...context, pull: 'never' }));
    expect(never.code).toBe('image-unavailable');
    await library().resolve('node:22', { ...context, pull: 'always' });
    await library().resolve('node:22', { ...context, pull: 'always' });
    await library().resolve('node:22', { ...context, pull: 'never' });
    expect(calls).toHaveLength(2);
  });

  it('pulls once when two ask at the same time, and tells the second what it waits for', async () => {
    const { library, context, calls, pull, processes, store } = await setUp();
    const [begun, released] = [new EventEmitter(), new EventEmitter()];
    const slow: PullFunction = async (...args) => {
      begun.emit('now');
      await once(released, 'now');
      return pull(...args);
    };
    const beginning = once(begun, 'now');
    const first = library(slow).resolve('node:22', context);
    await beginning;
    const log = recordingLog();
    const info = (text: string): void => {
      log.info(text);
      released.emit('now');
    };
    const second = library(slow).resolve('node:22', { ...context, log: { ...log, info } });
    expect(await second).toEqual(await first);
    expect(calls).toHaveLength(1);
    expect(log.lines).toEqual([
      `info: waiting for process ${processes.self.pid}, which is bringing docker.io/library/node:22`,
    ]);
    expect(await readdir(store.paths.locks)).toEqual([]);
  });

  it('gives back the disk of what a tag meant before', async () => {
    const { library, context, contents, age, counts } = await setUp();
    await library().resolve('node:22', context);
    await age();
    contents.set('library/node:22', 'new');
    await library().resolve('node:22', { ...context, pull: 'always' });
    expect(await counts()).toEqual({ images: 1, layers: 2 });
  });

  it('knows no prepared image that nobody made', async () => {
    const { library, context } = await setUp();
    expect((await rejection(library().resolve('local/nothing', context))).code).toBe('image-unavailable');
    expect((await rejection(library().resolve('No Name', context))).code).toBe('invalid-input');
  });
});

describe('list', () => {
  it('tells names, sizes, and what would go with each image', async () => {
    const { library, context } = await setUp();
    await library().resolve('a', context);
    await library().resolve('b', context);
    await library().resolve('a:other', { ...context });
    const images = await library().list();
    expect(images.map(({ references }) => references)).toEqual([
      ['docker.io/library/a:latest'],
      ['docker.io/library/a:other'],
      ['docker.io/library/b:latest'],
    ]);
    for (const image of images) expect(image).toMatchObject({ layers: 2, diskBytes: 3 * 4096, ownBytes: 2 * 4096 });
  });
});

describe('remove', () => {
  it('removes the image with its last name, and layers with their last image', async () => {
    const { library, context, age, counts } = await setUp();
    await library().resolve('a', context);
    await library().resolve('b', context);
    await age();
    const removed = await library().remove('a');
    expect(removed).toMatchObject({ reference: 'docker.io/library/a:latest', kept: undefined });
    expect(removed.freedBytes).toBeGreaterThanOrEqual(2 * 4096);
    expect(await counts()).toEqual({ images: 1, layers: 2 });
    await library().remove('b');
    expect(await counts()).toEqual({ images: 0, layers: 0 });
    expect((await rejection(library().remove('a'))).code).toBe('image-unavailable');
  });

  it('keeps an image that has another name', async () => {
    const { library, context, age, contents, counts } = await setUp();
    contents.set('library/a:latest', 'same').set('library/b:latest', 'same');
    await library().resolve('a', context);
    await library().resolve('b', context);
    await age();
    expect((await library().remove('a')).kept).toBe('it is also called docker.io/library/b:latest');
    expect(await counts()).toEqual({ images: 1, layers: 2 });
  });

  it('keeps an image that a VM runs in, or that a job asked for just now', async () => {
    const { library, context, age, store, counts } = await setUp();
    const image = await library().resolve('a', context);
    expect((await library().remove('a')).kept).toBe('it was asked for in the last 5 minutes');
    await age();
    await library().resolve('a', context);
    await age();
    await store.vms.create({ ...RECORD, imageDigest: image.digest });
    expect((await library().remove('a')).kept).toBe('a VM runs in it');
    expect(await counts()).toEqual({ images: 1, layers: 2 });
    await writeFile(store.vms.paths('vm-1').record, 'damaged');
    await library().resolve('a', context);
    await age();
    expect((await library().remove('a')).kept).toBe('the record of a VM cannot be read');
  });

  it('removes nothing while somebody makes an image of layers that no image names yet', async () => {
    const { library, context, processes, store, counts } = await setUp();
    const layers = new LayerStore({ store: store.paths, processes });
    await library().resolve('a', context);
    await whileMakingImages({ store: store.paths, processes }, context.signal, async () => {
      await layers.import({ stream: [writeLayer([{ name: 'new' }])] as never }, context);
      expect((await library().remove('a')).kept).toBe('another process makes an image just now');
      expect(await counts()).toEqual({ images: 1, layers: 3 });
    });
  });

  it('takes names of registries away by the rules of the host, and only tells it in a dry run', async () => {
    const { library, context, age, counts } = await setUp();
    await library().resolve('a', context);
    await library().resolve('b', context);
    await age();
    await library().resolve('b', context);
    const request = { now: Date.now(), rules: { budgetBytes: 0 }, signal: context.signal };
    const would = await library().sweep({ ...request, dryRun: true });
    const before = await counts();
    // The one that was asked for just now stays whatever the budget.
    expect(would.filter(({ kind }) => kind === 'image')).toHaveLength(1);
    expect(await library().find('a')).toBeDefined();
    expect(await library().sweep({ ...request, dryRun: false })).toEqual(would);
    expect(await library().find('a')).toBeUndefined();
    expect(await library().find('b')).toBeDefined();
    expect((await counts()).images).toBe(before.images - 1);
  });
});

const RECORD: VmRecord = {
  ...{ version: 1, name: 'vm-1', incarnation: 'a', provider: 'qemu', state: 'ready', createdAt: 1, expiresAt: 2 },
  ...{ owner: undefined, vmm: undefined, endpoint: { kind: 'unix', path: '/a' }, image: 'a', cpus: 1, memoryMiB: 1 },
  ...{
    imageDigest: undefined,
    template: undefined,
    diskMiB: 1024,
    workingDirectory: undefined,
    user: undefined,
    network: 'none',
    frontEnd: 'cli',
    job: undefined,
  },
};

describe('addLayer', () => {
  it('makes an image of an image and a layer, which has a name and a key', async () => {
    const { library, context, counts } = await setUp();
    const base = await library().resolve('a', context);
    const top = writeLayer([{ name: '.wh.base' }, { name: 'top', data: 'top' }]);
    const options = { reference: 'local/prepared', key: 'k1', comment: 'c', config: { command: ['/top'] } };
    const image = await library().addLayer(base, [top.subarray(0, 600), top.subarray(600)] as never, options, context);
    expect(image).toMatchObject({ reference: 'local/prepared', config: { command: ['/top'] } });
    expect(await library().resolve('local/prepared', context)).toEqual(image);
    expect(await counts()).toEqual({ images: 2, layers: 3 });
    expect((await library().list()).find(({ references }) => references[0] === 'local/prepared')).toMatchObject({
      layers: 3,
      comment: 'c',
    });
  });
});

describe('exportTo', () => {
  it('writes what other programs read, as a directory or a tar', async () => {
    const { library, context } = await setUp();
    await library().resolve('a:1.2', context);
    const directory = await temporaryDirectory();
    const at = (name: string): string => path.join(directory, name);
    const manifest = await library().exportTo('a:1.2', at('layout'), context);
    await library().exportTo('a:1.2', at('image.tar'), context);
    for (const source of [`oci:${at('layout')}:1.2`, `oci-archive:${at('image.tar')}`]) {
      const facts = JSON.parse(execFileSync('skopeo', ['inspect', source], { encoding: 'utf8' })) as Record<
        string,
        unknown
      >;
      expect(facts).toMatchObject({ Digest: manifest, Architecture: 'amd64', Os: 'linux' });
    }
    execFileSync('skopeo', ['--insecure-policy', 'copy', '-q', `oci:${at('layout')}:1.2`, `dir:${at('copy')}`]);
    expect(await readdir(at('copy'))).toHaveLength(5);
    expect((await readdir(directory)).sort()).toEqual(['copy', 'image.tar', 'layout']);
    const again = await library().resolve(`oci:${at('layout')}`, context);
    expect(again.digest).toBe(manifest);
  });

  it('puts nothing over what is there', async () => {
    const { library, context } = await setUp();
    const directory = await temporaryDirectory();
    await writeLayout(directory, []);
    await library().resolve('a', context);
    expect((await rejection(library().exportTo('a', directory, context))).code).toBe('invalid-input');
    expect((await rejection(library().exportTo('b', path.join(directory, 'x'), context))).code).toBe(
      'image-unavailable',
    );
  });
});
