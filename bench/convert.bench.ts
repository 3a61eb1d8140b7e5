import { execFileSync } from 'node:child_process';
import { readdir, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { gzipSync } from 'node:zlib';

import { it } from 'vitest';

import { HostImageLibrary } from '../src/images/host-library.js';
import { convertLayer } from '../src/images/layer/pass.js';
import { LinuxProcessTable } from '../src/process/table.js';
import { openStore } from '../src/store/store.js';
import { seeded } from '../test/images/layer/parse-layer.js';
import { SCRATCH } from '../test/support/fake-host.js';
import { writeLayer, type WrittenEntry } from '../test/support/layer-writer.js';
import { writeLayout } from '../test/support/oci-layout.js';
import { runToEnd } from '../test/support/ssh-guest.js';
import { temporaryDirectory } from '../test/support/temporary-directory.js';
import { IS_ROOT } from '../test/support/tree-listing.js';
import { median } from './statistics.js';
import { ratio, table } from './table.js';

// What it takes from an image that was downloaded to a disk that a VM can be given: by our conversion, and by unpacking it and
// making an ext4 of the tree, as others do. And what four images of one family take of the disk.

const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? 3);
const MIB = 2 ** 20;
/** MiB and files of each layer: a distribution, compilers, a runtime, its packages, a large program, the application. */
const LAYERS = [
  [190, 7600],
  [180, 3000],
  [210, 6000],
  [25, 3000],
  [90, 3],
  [5, 50],
] as const;

const quiet = (): undefined => undefined;
const log = { info: quiet, warn: quiet, progress: quiet, section: <T>(_: string, work: () => Promise<T>) => work() };
const signal = AbortSignal.timeout(3_600_000);

/** Bytes that compress like programs and their sources do. */
function content(random: (most: number) => number, bytes: number): Buffer {
  const words = Array.from({ length: 400 }, () => random(2 ** 30).toString(36));
  const piece = Buffer.from(Array.from({ length: 12_000 }, () => words[random(400)]).join(' '));
  const file = Buffer.alloc(bytes, piece);
  for (let at = 0; at + 4 < bytes; at += 48) file.writeUInt32LE(random(2 ** 32), at);
  return file;
}

function layer(seed: number, [mib, files]: readonly [number, number]): Buffer {
  const random = seeded(seed);
  const bytes = Math.floor((mib * MIB) / files);
  const source = content(random, bytes * 2);
  const entries = Array.from({ length: files }, (_, index): WrittenEntry => {
    const start = random(bytes);
    return { name: `l${seed}/d${index % 97}/f${index}`, data: source.subarray(start, start + bytes) };
  });
  return writeLayer(entries);
}

async function library(home: string): Promise<HostImageLibrary> {
  const processes = new LinuxProcessTable();
  const store = await openStore(home, processes);
  return new HostImageLibrary({ store: store.paths, processes, agentDirectory: '/nowhere', scratch: SCRATCH });
}

async function diskOf(directory: string): Promise<number> {
  const names = await readdir(directory, { recursive: true });
  const sizes = await Promise.all(names.map(async (name) => (await stat(path.join(directory, name))).blocks * 512));
  return sizes.reduce((sum, size) => sum + size, 0);
}

async function seconds(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return (performance.now() - start) / 1000;
}

it('converting an image', { timeout: 3_600_000 }, async () => {
  const directory = await temporaryDirectory();
  const at = (name: string): string => path.join(directory, name);
  const shared = LAYERS.slice(0, -1).map((size, index) => layer(index, size));
  const top = (seed: number): Buffer => layer(seed, LAYERS[5]);
  const packed = new Map<Buffer, Buffer>();
  const compress = (tar: Buffer): Buffer => {
    const bytes = packed.get(tar) ?? gzipSync(tar, { level: 5 });
    packed.set(tar, bytes);
    return bytes;
  };
  const images = [10, 11, 12, 13].map((seed) => ({ tag: `app${seed}`, layers: [...shared, top(seed)], compress }));
  await writeLayout(at('layout'), images);
  const rawBytes = [...shared, top(10)].reduce((sum, { length }) => sum + length, 0);
  const context = { log, signal };

  const taken = { ours: [] as number[], others: [] as number[], changed: [] as number[] };
  for (let round = 0; round < ROUNDS; round += 1) {
    await rm(at('home'), { recursive: true, force: true });
    const images_ = await library(at('home'));
    taken.ours.push(await seconds(() => images_.resolve(`oci:${at('layout')}:app10`, context)));
    taken.changed.push(await seconds(() => images_.resolve(`oci:${at('layout')}:app11`, context)));
    if (!IS_ROOT) continue;
    await rm(at('bundle'), { recursive: true, force: true });
    await rm(at('ext4'), { force: true });
    const unpack = ['umoci', '--log=error', 'unpack', '--image', `${at('layout')}:app10`, at('bundle')];
    const format = ['mke2fs', '-q', '-t', 'ext4', '-d', at('bundle/rootfs'), at('ext4'), '2G'];
    taken.others.push(await seconds(async () => runToEnd(unpack, 'ignore').then(() => runToEnd(format, 'ignore'))));
  }

  const images_ = await library(at('home'));
  let sum = 0;
  for (const { tag } of images) sum += (await images_.resolve(`oci:${at('layout')}:${tag}`, context)).diskBytes;
  const used = (await diskOf(at('home/layers'))) + (await diskOf(at('home/images')));

  await rm(at('pass'), { recursive: true, force: true });
  const blobs = at('layout/blobs/sha256');
  const sizes = await Promise.all(
    (await readdir(blobs)).map(async (name) => ({ name, size: (await stat(path.join(blobs, name))).size })),
  );
  const largest = sizes.sort((a, b) => b.size - a.size)[0]?.name ?? '';
  const gz = path.join(blobs, largest);
  execFileSync('sh', ['-c', `gzip -dc ${gz} > ${at('raw.tar')}`]);
  const passes: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    const target = await temporaryDirectory();
    passes.push(await seconds(() => convertLayer({ file: gz }, target, signal)));
  }
  const passBytes = (await stat(at('raw.tar'))).size;

  const mib = (bytes: number): string => `${(bytes / MIB).toFixed(0)} MiB`;
  console.log(
    table([
      [`${mib(rawBytes)} in ${LAYERS.length} layers, medians of ${ROUNDS}`, 'seconds', 'of ours'],
      ['ours', median(taken.ours).toFixed(2), ''],
      [
        'umoci unpack, then mke2fs -d',
        median(taken.others).toFixed(2),
        ratio(median(taken.others), median(taken.ours)),
      ],
      [
        'ours, when only the top layer is new',
        median(taken.changed).toFixed(2),
        ratio(median(taken.changed), median(taken.ours)),
      ],
    ]),
  );
  console.log(`one pass over ${mib(passBytes)} of tar: ${(passBytes / MIB / median(passes)).toFixed(0)} MiB/s`);
  console.log(`four images of one family: ${mib(used)} of disk, each alone ${mib(sum)}: ${ratio(used, sum)}`);
});
