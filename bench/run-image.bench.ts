import { mkdir } from 'node:fs/promises';
import path from 'node:path';

import { inject, it } from 'vitest';

import type { TemplatePolicy } from '../src/core/job.js';
import { Timeline } from '../src/core/log.js';
import { openHost } from '../src/providers/host.js';
import type { Host } from '../src/providers/provider.js';
import { withAgent } from '../src/stages/attach.js';
import { cleanup } from '../src/stages/cleanup.js';
import { prepare } from '../src/stages/prepare.js';
import { run } from '../src/stages/run.js';
import { vmRunner } from '../test/support/command-line.js';
import { homeWithImages } from '../test/support/e2e.js';
import { AGENTS, keptLog, SCRATCH } from '../test/support/fake-host.js';
import { familyImages, writeLayout } from '../test/support/made-images.js';
import { quantile } from './statistics.js';
import { ratio, table } from './table.js';

// How long it takes from the start of QEMU until the first program of an image has run, and what a whole `vm-runner run` takes, with
// an image of one layer and with one of 127.

const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? 20);
const BOOTS = Math.max(2, Math.ceil(ROUNDS / 10));
const MEMORY_MIB = 512;
const IMAGES = { busybox: '1 layer', many: '127 layers' } as const;

const log = keptLog();
const signal = AbortSignal.timeout(1_800_000);
let made = 0;

/** Milliseconds from the start of QEMU until the agent answered, the image root was made, and `true` had ended. */
interface Times {
  readonly agent: number;
  readonly root: number;
  readonly program: number;
}

async function once(host: Host, image: string, template: TemplatePolicy): Promise<Times> {
  made += 1;
  const name = `bench-${made}`;
  const timeline = new Timeline();
  const request = {
    vm: { image, cpus: 1, memoryMiB: MEMORY_MIB, network: 'none' as const, pull: 'never' as const, template },
    ...{ name, owner: host.processes.self, expiresAt: Date.now() + 3_600_000, bootTimeoutMs: 120_000 },
    ...{ frontEnd: 'bench', job: undefined },
  };
  const record = await prepare(host, request, { log, timeline, signal });
  const at = (span: string, edge: 'startMs' | 'endMs'): number =>
    timeline.spans.find((candidate) => candidate.name === span)?.[edge] ?? NaN;
  const spawned = at(template === 'never' ? 'start' : 'clone', 'startMs');
  await withAgent(host, record, { log, signal }, (agent, watched) =>
    run(agent, {
      program: { kind: 'argv', argv: ['true'] },
      onStdout: () => undefined,
      onStderr: () => undefined,
      signal: watched,
    }),
  );
  const ended = timeline.elapsedMs;
  await cleanup(host, name, { keepLogs: false, log });
  return { agent: at('boot', 'endMs') - spawned, root: at('enter', 'endMs') - spawned, program: ended - spawned };
}

it(`${ROUNDS} VMs of each image, and ${BOOTS} that boot`, { timeout: 1_800_000 }, async () => {
  const { directory, home } = await homeWithImages(inject('sharedHome'));
  const families = await familyImages();
  const options = { home, cwd: path.join(directory, 'work') };
  await mkdir(options.cwd);
  for (const name of Object.keys(IMAGES)) {
    const image = families[name];
    if (image === undefined) throw new Error(`no such family: ${name}`);
    await writeLayout(path.join(options.cwd, name), image);
    const imported = await vmRunner(['image', 'import', `oci:${name}`, name], options);
    if (imported.exitCode !== 0) throw new Error(imported.stderr);
  }
  const host = await openHost({ home, provider: 'qemu', agentDirectory: AGENTS, scratch: SCRATCH });
  await once(host, 'local/busybox', 'always');
  const clones = new Map<string, Times[]>();
  const whole = new Map<string, number[]>();
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const name of Object.keys(IMAGES)) {
      clones.set(name, [...(clones.get(name) ?? []), await once(host, `local/${name}`, 'always')]);
      const started = performance.now();
      const flags = ['-q', '--memory', String(MEMORY_MIB), '--network', 'none', '--pull', 'never'];
      const { exitCode, stderr } = await vmRunner(['run', ...flags, '--image', `local/${name}`, '--', 'true'], options);
      if (exitCode !== 0) throw new Error(stderr);
      whole.set(name, [...(whole.get(name) ?? []), performance.now() - started]);
    }
  }
  const boots: Times[] = [];
  for (let round = 0; round < BOOTS; round += 1) boots.push(await once(host, 'local/busybox', 'never'));

  const rows = [
    ['from the start of QEMU, ms', 'agent', '', 'image root', '', 'first program', '', 'vm-runner run', ''],
  ];
  rows.push(['', ...Array.from({ length: 4 }, () => ['p50', 'p95']).flat()]);
  const both = (values: readonly number[]): string[] =>
    values.length === 0 ? ['', ''] : [0.5, 0.95].map((part) => quantile(values, part).toFixed(0));
  const add = (title: string, times: readonly Times[], all: readonly number[]): void => {
    const columns = [times.map((one) => one.agent), times.map((one) => one.root), times.map((one) => one.program), all];
    rows.push([title, ...columns.flatMap(both)]);
  };
  for (const [name, title] of Object.entries(IMAGES))
    add(`clone, ${title}`, clones.get(name) ?? [], whole.get(name) ?? []);
  add('boot, 1 layer', boots, []);
  console.log(table(rows));
  const p50 = (times: readonly Times[], key: keyof Times): number =>
    quantile(
      times.map((one) => one[key]),
      0.5,
    );
  const cloned = clones.get('busybox') ?? [];
  const ratios = (['agent', 'root', 'program'] as const).map((key) => ratio(p50(boots, key), p50(cloned, key)));
  console.log(
    table([
      ['boot / clone, p50', 'agent', 'image root', 'first program'],
      ['1 layer', ...ratios],
    ]),
  );
});
