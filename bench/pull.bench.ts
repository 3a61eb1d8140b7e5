import { randomBytes } from 'node:crypto';
import { mkdir, rm, stat } from 'node:fs/promises';
import path from 'node:path';

import { it } from 'vitest';

import { pullImage } from '../src/images/pull.js';
import { DEFAULT_PATIENCE } from '../src/images/registry/client.js';
import { registryOptions } from '../src/images/registry/options.js';
import { LinuxProcessTable } from '../src/process/table.js';
import { openStore } from '../src/store/store.js';
import { registryReference } from '../test/images/pull-host.js';
import { ContainerRegistry, OCI_MANIFEST, type PushedImage } from '../test/support/container-registry.js';
import { RegistryFront } from '../test/support/registry-front.js';
import { runToEnd } from '../test/support/ssh-guest.js';
import { temporaryDirectory } from '../test/support/temporary-directory.js';
import { median } from './statistics.js';
import { ratio, table } from './table.js';

// How long an image of 220 MB takes from a registry that gives each connection so much and no more, as networks with long ways
// do: by our pull, by one stream for everything, and by skopeo, which takes a stream for each layer. All write files, nobody
// converts layers; all but the one stream compare digests.

const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? 3);
const BYTES_PER_SECOND = 20e6;
const ROUND_TRIP_MS = 30;
/** As a large image of a language has them: one that is most of it, some, and small ones. */
const LAYERS_MB = [30, 110, 50, 25, 4.5, 0.5];

const signal = AbortSignal.timeout(1_800_000);
const quiet = () => undefined;
const log = {
  info: quiet,
  warn: quiet,
  progress: quiet,
  section: <T>(_title: string, work: () => Promise<T>) => work(),
};

async function byPull(host: string, directory: string): Promise<void> {
  const processes = new LinuxProcessTable();
  const store = await openStore(path.join(directory, 'home'), processes);
  await pullImage(registryReference(`${host}/app:1`), {
    store: store.paths,
    processes,
    registries: registryOptions(),
    architecture: 'amd64',
    layers: { has: () => Promise.resolve(false), add: ({ file }) => stat(file).then(quiet) },
    assemble: () => Promise.resolve(),
    isAssembled: () => Promise.resolve(false),
    log,
    signal,
    patience: DEFAULT_PATIENCE,
  });
}

/** The least that a client can do: one connection, one thing after the other. */
async function byOneStream(host: string, directory: string, image: PushedImage): Promise<void> {
  const get = (what: string, file: string): string[] => [
    '-sSf',
    '--header',
    `Accept: ${OCI_MANIFEST}`,
    '-o',
    path.join(directory, file),
    `http://${host}/v2/app/${what}`,
  ];
  const all = [
    get('manifests/1', 'manifest'),
    ...image.layers.map(({ digest }, at) => get(`blobs/${digest}`, String(at))),
  ];
  await runToEnd(
    ['curl', ...all.flatMap((arguments_, at) => (at === 0 ? arguments_ : ['--next', ...arguments_]))],
    'inherit',
  );
}

const bySkopeo = (host: string, directory: string): Promise<void> =>
  runToEnd(
    [
      'skopeo',
      'copy',
      '--quiet',
      '--insecure-policy',
      '--src-tls-verify=false',
      `docker://${host}/app:1`,
      `oci:${directory}/oci:1`,
    ],
    'inherit',
  );

it('pulling an image', { timeout: 1_800_000 }, async () => {
  const registry = await ContainerRegistry.start();
  const image = await registry.pushImage(
    'app',
    '1',
    LAYERS_MB.map((megabytes) => randomBytes(megabytes * 1e6)),
  );
  const megabytes = image.layers.reduce((sum, { size }) => sum + size, 0) / 1e6;
  const slow = { upstream: registry.port, bytesPerSecond: BYTES_PER_SECOND, roundTripMs: ROUND_TRIP_MS };
  const ways = { ours: byPull, 'one stream': byOneStream, skopeo: bySkopeo };
  const names = Object.keys(ways) as (keyof typeof ways)[];
  const lines = {
    [`${BYTES_PER_SECOND / 1e6} MB/s a connection, ${ROUND_TRIP_MS} ms`]: slow,
    'no limit, loopback': undefined,
  };
  for (const [line, options] of Object.entries(lines)) {
    const front = options === undefined ? undefined : await RegistryFront.start(options);
    const host = front?.host ?? registry.host;
    const taken: Record<keyof typeof ways, number[]> = { ours: [], 'one stream': [], skopeo: [] };
    for (let round = 0; round < ROUNDS; round += 1) {
      for (const name of names) {
        const directory = path.join(await temporaryDirectory(), 'pull');
        await mkdir(directory);
        const start = performance.now();
        await ways[name](host, directory, image);
        taken[name].push((performance.now() - start) / 1000);
        await rm(directory, { recursive: true });
      }
    }
    const ours = median(taken.ours);
    const rows = names.map((name) => {
      const seconds = median(taken[name]);
      return [name, seconds.toFixed(2), (megabytes / seconds).toFixed(0), ratio(seconds, ours)];
    });
    console.log(`${megabytes.toFixed(0)} MB in ${image.layers.length} layers; ${line}; median of ${ROUNDS}`);
    console.log(table([['', 'seconds', 'MB/s', 'of ours'], ...rows]));
  }
});
