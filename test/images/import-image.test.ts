import { execFileSync } from 'node:child_process';
import { mkdir, readdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { gzipSync } from 'node:zlib';

import { describe, expect, it } from 'vitest';

import { HostImageLibrary } from '../../src/images/host-library.js';
import { SCRATCH } from '../support/fake-host.js';
import { writeLayer } from '../support/layer-writer.js';
import { digest, writeLayout, type LayoutImage } from '../support/oci-layout.js';
import { oddLayers } from '../support/odd-layers.js';
import { temporaryDirectory } from '../support/temporary-directory.js';
import { recordingLog, rejection, temporaryStore } from './support.js';

const LAYER = writeLayer([{ name: 'etc/os-release', data: 'ID=test\n' }]);
const CONFIG = {
  Env: ['A=1', 'B=2'],
  User: '1000:50',
  WorkingDir: '/app',
  Entrypoint: ['/e'],
  Cmd: ['c'],
  Volumes: { '/v': {} },
};

async function setUp(images: readonly LayoutImage[] = [{ tag: 'one', layers: [LAYER], config: CONFIG }]) {
  const { store, processes } = await temporaryStore();
  const log = recordingLog();
  const directory = await temporaryDirectory();
  const layout = path.join(directory, 'layout');
  await writeLayout(layout, images);
  const library = new HostImageLibrary({ store: store.paths, processes, agentDirectory: '/nowhere', scratch: SCRATCH });
  const context = { log, signal: new AbortController().signal };
  const at = (name: string): string => path.join(directory, name);
  return { store: store.paths, library, context, log, layout, at };
}

const skopeo = (...args: string[]): Buffer => execFileSync('skopeo', ['--insecure-policy', 'copy', '-q', ...args]);

describe('an image in a layout', () => {
  it('comes with its layers, its configuration and the digest of its manifest', async () => {
    const { library, context, layout, store } = await setUp();
    const image = await library.resolve(`oci:${layout}`, context);
    const index = JSON.parse(await readFile(path.join(layout, 'index.json'), 'utf8')) as {
      manifests: { digest: string }[];
    };
    expect(image).toEqual({
      reference: `oci:${layout}`,
      digest: index.manifests[0]?.digest,
      disk: path.join(store.images, image.digest.slice(7), 'root.vmdk'),
      diskBytes: 2 * 4096,
      config: {
        ...{ env: ['A=1', 'B=2'], user: '1000:50', workingDirectory: '/app' },
        ...{ entrypoint: ['/e'], command: ['c'], volumes: ['/v'] },
      },
    });
    expect(await readdir(store.layers)).toEqual([digest(LAYER).slice(7)]);
    // Nothing is read again: its layers could be gone.
    await rm(path.join(layout, 'blobs/sha256', digest(gzipSync(LAYER)).slice(7)));
    await writeFile(path.join(layout, 'blobs/sha256', digest(gzipSync(LAYER)).slice(7)), 'gone');
    expect(await library.resolve(`oci:${layout}`, context)).toEqual(image);
    expect(await library.find(`oci:${layout}`)).toEqual(image);
  });

  it('is chosen by its tag among several', async () => {
    const other = writeLayer([{ name: 'other' }]);
    const { library, context, layout } = await setUp([
      { tag: 'one', layers: [LAYER] },
      { tag: 'two', layers: [LAYER, other] },
    ]);
    const [one, two] = [
      await library.resolve(`oci:${layout}:one`, context),
      await library.resolve(`oci:${layout}:two`, context),
    ];
    expect(one.digest).not.toBe(two.digest);
    const unnamed = await rejection(library.resolve(`oci:${layout}`, context));
    expect([unnamed.code, unnamed.message]).toEqual([
      'image-unavailable',
      `more than one image: ${layout}. Name one of these behind a colon: one, two.`,
    ]);
    expect((await rejection(library.resolve(`oci:${layout}:three`, context))).reason).toBe('no image named three');
  });

  it('is chosen by the platform of this host, also in an index in an index', async () => {
    const { library, context, layout } = await setUp();
    const arm = path.join(path.dirname(layout), 'arm');
    await writeLayout(arm, [{ tag: 'arm', layers: [LAYER], architecture: 'arm64' }]);
    const read = async (from: string): Promise<Record<string, unknown>> => {
      const { manifests } = JSON.parse(await readFile(path.join(from, 'index.json'), 'utf8')) as {
        manifests: Record<string, unknown>[];
      };
      return manifests[0] ?? {};
    };
    const inner = Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        manifests: [
          { ...(await read(arm)), platform: { os: 'linux', architecture: 'arm64' } },
          { ...(await read(layout)), platform: { os: 'linux', architecture: 'amd64' } },
          { ...(await read(arm)), platform: { os: 'unknown', architecture: 'unknown' } },
        ],
      }),
    );
    const wanted = (await read(layout))['digest'];
    await writeFile(path.join(layout, 'blobs/sha256', digest(inner).slice(7)), inner);
    const type = 'application/vnd.oci.image.index.v1+json';
    const outer = { manifests: [{ mediaType: type, digest: digest(inner), size: inner.length }] };
    await writeFile(path.join(layout, 'index.json'), JSON.stringify(outer));
    expect((await library.resolve(`oci:${layout}`, context)).digest).toBe(wanted);
    const foreign = await rejection(library.resolve(`oci:${arm}`, context));
    expect(foreign).toMatchObject({ code: 'image-invalid', reason: 'image is for linux on arm64' });
  });

  it('is refused when a link in it leads out, or when bytes are not what their name says', async () => {
    const { library, context, layout, at } = await setUp();
    const config = (await readdir(path.join(layout, 'blobs/sha256'))).map((name) =>
      path.join(layout, 'blobs/sha256', name),
    );
    const [first = ''] = config;
    await rename(first, at('outside'));
    await symlink(at('outside'), first);
    expect((await rejection(library.resolve(`oci:${layout}`, context))).reason).toMatch(/link that leads out of it/);
    await rm(first);
    await writeFile(first, '{}');
    expect(await rejection(library.resolve(`oci:${layout}`, context))).toMatchObject({ code: 'image-invalid' });
  });

  it('is unavailable where nothing is', async () => {
    const { library, context, at } = await setUp();
    for (const reference of [`oci:${at('nothing')}`, `docker-archive:${at('nothing')}`, `rootfs:${at('nothing')}`]) {
      expect(await rejection(library.resolve(reference, context))).toMatchObject({ code: 'image-unavailable' });
    }
    await mkdir(at('empty'));
    expect((await rejection(library.resolve(`oci:${at('empty')}`, context))).reason).toBe(
      'what should hold an image has no index.json',
    );
  });
});

describe('an image that was saved', () => {
  it('is read where it is, from what Docker writes, from a layout in a tar, and from either compressed', async () => {
    const { library, context, layout, at, store } = await setUp([{ tag: 'odd', layers: oddLayers(), config: CONFIG }]);
    const straight = await library.resolve(`oci:${layout}`, context);
    skopeo(`oci:${layout}:odd`, `docker-archive:${at('docker.tar')}:odd:1`);
    skopeo(`oci:${layout}:odd`, `oci-archive:${at('oci.tar')}:odd`);
    await writeFile(at('docker.tar.gz'), gzipSync(await readFile(at('docker.tar'))));
    for (const name of ['docker.tar', 'oci.tar', 'docker.tar.gz']) {
      const image = await library.resolve(`docker-archive:${at(name)}`, context);
      expect(image).toMatchObject({ diskBytes: straight.diskBytes, config: straight.config });
    }
    expect((await readdir(store.layers)).sort()).toEqual(
      oddLayers()
        .map((layer) => digest(layer).slice(7))
        .sort(),
    );
    expect(await readdir(store.temporary)).toEqual([]);
  });

  it('must be alone in its archive', async () => {
    const { library, context, at } = await setUp();
    const save = (images: readonly unknown[]): Promise<void> =>
      writeFile(at('saved.tar'), writeLayer([{ name: 'manifest.json', data: JSON.stringify(images) }]));
    await save([{ RepoTags: ['a:1'] }, { RepoTags: ['b:2'] }]);
    expect((await rejection(library.resolve(`docker-archive:${at('saved.tar')}`, context))).message).toContain(
      'here are a:1, b:2',
    );
    await save([]);
    expect((await rejection(library.resolve(`docker-archive:${at('saved.tar')}`, context))).reason).toBe('no image');
  });

  it('names files of its archive alone, through links or not', async () => {
    const { library, context, at } = await setUp();
    const config = JSON.stringify({ os: 'linux', architecture: 'amd64', rootfs: { diff_ids: [digest(LAYER)] } });
    const write = (layer: string): Promise<void> =>
      writeFile(
        at('saved.tar'),
        writeLayer([
          { name: 'config.json', data: config },
          { name: 'a/layer.tar', data: LAYER },
          { name: 'b/layer.tar', flag: '2', link: '../a/layer.tar' },
          { name: 'c/layer.tar', flag: '2', link: '/etc/passwd' },
          { name: 'd/layer.tar', flag: '2', link: '../d/layer.tar' },
          { name: 'manifest.json', data: JSON.stringify([{ Config: 'config.json', Layers: [layer] }]) },
        ]),
      );
    await write('b/layer.tar');
    expect((await library.resolve(`docker-archive:${at('saved.tar')}`, context)).diskBytes).toBe(2 * 4096);
    for (const layer of ['c/layer.tar', 'd/layer.tar', '/etc/passwd', '../../etc/passwd']) {
      await write(layer);
      expect((await rejection(library.resolve(`docker-archive:${at('saved.tar')}`, context))).code).toBe(
        'image-invalid',
      );
    }
  });

  it.each([
    ['no tar', Buffer.alloc(2000, 'x')],
    ['an end in its middle', writeLayer([{ name: 'a', data: 'x'.repeat(2000) }]).subarray(0, 1200)],
    ['a size that leads far behind it', writeLayer([{ name: 'manifest.json', size: 2 ** 30 }])],
    ['no image', writeLayer([{ name: 'a' }])],
    ['no JSON', writeLayer([{ name: 'manifest.json', data: '{' }])],
    ['another kind of JSON', writeLayer([{ name: 'manifest.json', data: '[{"Layers": {"length": 7}}]' }])],
  ])('is refused with a sentence when it is %s', async (_title, bytes) => {
    const { library, context, at } = await setUp();
    await writeFile(at('bad.tar'), bytes);
    const error = await rejection(library.resolve(`docker-archive:${at('bad.tar')}`, context));
    expect(error).toMatchObject({ code: 'image-invalid', blame: 'user' });
  });
});

describe('a tar of a root', () => {
  it('is an image of one layer, and is not read again while it is the same', async () => {
    const { library, context, at, store } = await setUp();
    await writeFile(at('root.tar.gz'), gzipSync(LAYER));
    const image = await library.resolve(`rootfs:${at('root.tar.gz')}`, context);
    expect(image.config.entrypoint).toEqual([]);
    await rm(path.join(store.layers, digest(LAYER).slice(7), 'data'));
    expect(await library.resolve(`rootfs:${at('root.tar.gz')}`, context)).toEqual(image);
    await writeFile(at('root.tar.gz'), writeLayer([{ name: 'other' }]));
    expect((await library.resolve(`rootfs:${at('root.tar.gz')}`, context)).digest).not.toBe(image.digest);
  });
});
