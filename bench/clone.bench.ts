import { readFileSync } from 'node:fs';

import { inject, it } from 'vitest';

import type { TemplatePolicy } from '../src/core/job.js';
import { Timeline } from '../src/core/log.js';
import type { ProcessIdentity } from '../src/core/process-identity.js';
import type { Host } from '../src/providers/provider.js';
import { cleanup } from '../src/stages/cleanup.js';
import { prepare } from '../src/stages/prepare.js';
import { hostWithImages } from '../test/support/e2e.js';
import { keptLog } from '../test/support/fake-host.js';
import { quantile } from './statistics.js';
import { ratio, table } from './table.js';

// How long it takes until the agent of a new VM answers: of a clone, and of the same VM when it boots. And what idle clones cost
// of the host's memory.

const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? 20);
/** A boot takes so long that a tenth of the rounds must do. */
const BOOTS = Math.max(2, Math.ceil(ROUNDS / 10));
const SIZES_MIB = [512, 2048, 8192];
const CROWDS = [1, 10, 25, 50].filter((count) => count <= Number(process.env['BENCH_CLONES'] ?? 50));

const signal = AbortSignal.timeout(1_800_000);
const log = keptLog();
let made = 0;

interface Started {
  readonly name: string;
  readonly vmm: ProcessIdentity | undefined;
  /** Milliseconds of each step. */
  readonly took: (span: string) => number;
}

async function start(host: Host, memoryMiB: number, template: TemplatePolicy): Promise<Started> {
  made += 1;
  const name = `bench-${made}`;
  const timeline = new Timeline();
  const request = {
    vm: { image: 'default', cpus: 1, memoryMiB, network: 'none' as const, template },
    ...{ name, owner: host.processes.self, expiresAt: Date.now() + 3_600_000, bootTimeoutMs: 120_000 },
    ...{ frontEnd: 'bench', job: undefined },
  };
  const { vmm } = await prepare(host, request, { log, timeline, signal });
  const took = (name_: string): number => {
    const span = timeline.spans.find((candidate) => candidate.name === name_);
    return span === undefined ? 0 : span.endMs - span.startMs;
  };
  return { name, vmm, took };
}

const end = (host: Host, { name }: Started): Promise<unknown> => cleanup(host, name, { keepLogs: false, log });

/** From the start of QEMU to the agent's answer, and what the host does besides in `create`. */
async function measure(host: Host, memoryMiB: number, template: TemplatePolicy, rounds: number) {
  const agent: number[] = [];
  const besides: number[] = [];
  const ready: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    const started = await start(host, memoryMiB, template);
    const qemu = started.took(template === 'never' ? 'start' : 'clone');
    agent.push(qemu + started.took('boot'));
    besides.push(started.took('create') - qemu);
    ready.push(started.took('create') + started.took('boot') + started.took('resume') + started.took('enter'));
    await end(host, started);
  }
  return { agent, besides, ready };
}

/** The share of memory that a process would give back, in MiB. */
function pssMiB(process: ProcessIdentity | undefined): number {
  const text = readFileSync(`/proc/${String(process?.pid)}/smaps_rollup`, 'utf8');
  return Number(/^Pss:\s+(\d+) kB$/m.exec(text)?.[1]) / 1024;
}

it(`start of a VM, ${ROUNDS} clones and ${BOOTS} boots of each size`, { timeout: 1_800_000 }, async () => {
  const host = await hostWithImages(inject('sharedHome'));
  const rows = [['start of a VM, ms', 'agent p50', 'agent p95', 'besides p50', 'ready p50', 'ready p95']];
  const ratios = [['boot / clone, agent p50', '']];
  for (const memoryMiB of SIZES_MIB) {
    const first = await start(host, memoryMiB, 'always');
    await end(host, first);
    const clones = await measure(host, memoryMiB, 'always', ROUNDS);
    const boots = await measure(host, memoryMiB, 'never', BOOTS);
    for (const [title, { agent, besides, ready }] of [
      [`clone, ${memoryMiB} MiB`, clones],
      [`boot, ${memoryMiB} MiB`, boots],
    ] as const) {
      const values = [quantile(agent, 0.5), quantile(agent, 0.95), quantile(besides, 0.5)];
      rows.push([title, ...[...values, quantile(ready, 0.5), quantile(ready, 0.95)].map((value) => value.toFixed(0))]);
    }
    rows.push([`first clone with its template, ${memoryMiB} MiB`, '', '', '', first.took('create').toFixed(0), '']);
    ratios.push([`${memoryMiB} MiB`, ratio(quantile(boots.agent, 0.5), quantile(clones.agent, 0.5))]);
  }
  console.log(table(rows));
  console.log(table(ratios));
});

it('memory of idle clones', { timeout: 1_800_000 }, async () => {
  const host = await hostWithImages(inject('sharedHome'));
  const rows = [['idle clones of 512 MiB', 'PSS each, MiB', 'PSS of all, MiB']];
  const running: Started[] = [];
  try {
    for (const count of CROWDS) {
      while (running.length < count) running.push(await start(host, 512, 'always'));
      const all = running.map(({ vmm }) => pssMiB(vmm)).reduce((sum, value) => sum + value, 0);
      rows.push([String(count), (all / count).toFixed(1), all.toFixed(0)]);
    }
  } finally {
    for (const started of running) await end(host, started);
  }
  console.log(table(rows));
});
