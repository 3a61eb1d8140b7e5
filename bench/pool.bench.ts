import { inject, it } from 'vitest';

import { Timeline } from '../src/core/log.js';
import type { CreateRequest, Host } from '../src/providers/provider.js';
import { agentAnswers } from '../src/stages/agent-answers.js';
import { bootFiles } from '../src/stages/boot-files.js';
import { cleanup } from '../src/stages/cleanup.js';
import { prepare } from '../src/stages/prepare.js';
import { randomPoolName } from '../src/store/pool-name.js';
import { NEVER } from '../src/store/record.js';
import { hostWithImages } from '../test/support/e2e.js';
import { keptLog } from '../test/support/fake-host.js';
import { quantile } from './statistics.js';
import { ratio, table } from './table.js';

// How long it takes until the agent of a VM that waited in a pool answers, beside that of a clone: they take turns.

const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? 20);
const VM = { image: 'default', cpus: 1, memoryMiB: 512, network: 'none' as const };

const signal = AbortSignal.timeout(600_000);
const log = keptLog();
let made = 0;

/** Launches one that waits, as the pool does. */
async function launch(host: Host): Promise<void> {
  const request: CreateRequest = {
    ...{
      ...VM,
      name: randomPoolName(),
      incarnation: `bench-${made}`,
      boot: await bootFiles(host, VM, { log, signal }),
    },
    ...{ owner: host.processes.self, expiresAt: NEVER, frontEnd: 'bench', job: undefined },
  };
  const context = { log, timeline: new Timeline(), signal, agentAnswers: agentAnswers(host) };
  await host.provider.pool?.launch(request, context);
}

/** Milliseconds until its agent answers, and until it is ready for a job. */
async function start(host: Host, first: 'claim' | 'create'): Promise<{ agent: number; ready: number }> {
  made += 1;
  const name = `bench-${made}`;
  const timeline = new Timeline();
  const request = {
    ...{ vm: VM, name, owner: host.processes.self, expiresAt: Date.now() + 3_600_000, bootTimeoutMs: 120_000 },
    ...{ frontEnd: 'bench', job: undefined },
  };
  await prepare(host, request, { log, timeline, signal });
  const took = (name_: string): number => {
    const span = timeline.spans.find((candidate) => candidate.name === name_);
    return span === undefined ? NaN : span.endMs - span.startMs;
  };
  const agent = took(first) + took('boot');
  await cleanup(host, name, { keepLogs: false, log });
  return { agent, ready: agent + took('resume') + took('enter') };
}

it(`start of a VM that waited, and of a clone, ${ROUNDS} pairs`, { timeout: 600_000 }, async () => {
  const host = await hostWithImages(inject('sharedHome'));
  // The first one may make the template, and proves it.
  await start(host, 'create');
  const took = {
    pooled: { agent: [] as number[], ready: [] as number[] },
    clone: { agent: [] as number[], ready: [] as number[] },
  };
  for (let round = 0; round < ROUNDS; round += 1) {
    await launch(host);
    for (const kind of ['pooled', 'clone'] as const) {
      const { agent, ready } = await start(host, kind === 'pooled' ? 'claim' : 'create');
      took[kind].agent.push(agent);
      took[kind].ready.push(ready);
    }
  }
  const rows = [['start of a VM of 512 MiB, ms', 'agent p50', 'agent p95', 'ready p50', 'ready p95']];
  for (const [title, { agent, ready }] of [
    ['waited in a pool', took.pooled],
    ['clone', took.clone],
  ] as const) {
    const values = [quantile(agent, 0.5), quantile(agent, 0.95), quantile(ready, 0.5), quantile(ready, 0.95)];
    rows.push([title, ...values.map((value) => value.toFixed(0))]);
  }
  rows.push([
    'clone / pool',
    ratio(quantile(took.clone.agent, 0.5), quantile(took.pooled.agent, 0.5)),
    '',
    ratio(quantile(took.clone.ready, 0.5), quantile(took.pooled.ready, 0.5)),
    '',
  ]);
  console.log(table(rows));
});
