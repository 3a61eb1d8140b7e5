import { readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';

import { inject, it } from 'vitest';

import { localAgent } from '../test/support/agent.js';
import { hostWithImages } from '../test/support/e2e.js';
import { AGENTS } from '../test/support/fake-host.js';
import { bootGuest, shell } from '../test/support/guest.js';
import { table } from './table.js';

// What the agent takes: bytes of its file, memory, descriptors and children, idle and after much work.

const EXECS = Number(process.env['BENCH_ROUNDS'] ?? 10_000);
const BULK_BYTES = 2 ** 30;
const CHUNK = Buffer.alloc(2 ** 18);

const signal = AbortSignal.timeout(1_800_000);
const quiet = { onStdout: () => undefined, onStderr: () => undefined, signal };

const kib = (status: string, field: string): string =>
  new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? '?';

function stateOf(pid: number): string[] {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean);
  const descriptors = readdirSync(`/proc/${pid}/fd`);
  return [kib(status, 'VmRSS'), kib(status, 'RssAnon'), String(descriptors.length), String(children.length)];
}

async function* zeros(): AsyncGenerator<Uint8Array> {
  for (let sent = 0; sent < BULK_BYTES; sent += CHUNK.length) yield await Promise.resolve(CHUNK);
}

it('the size of the agent', { timeout: 1_800_000 }, async () => {
  const sizes = readdirSync(AGENTS, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => [name, String(statSync(path.join(AGENTS, name, 'vm-agent')).size)]);
  console.log(table([['file', 'bytes'], ...sizes]));

  const rows = [['agent on this host, unix socket', 'VmRSS KiB', 'RssAnon KiB', 'descriptors', 'children']];
  const busy = await localAgent();
  rows.push(['idle', ...stateOf(busy.pid)]);
  for (let round = 0; round < EXECS; round += 1) {
    await busy.agent.exec({ program: { kind: 'argv', argv: ['true'] }, ...quiet });
  }
  rows.push([`after ${EXECS} times true`, ...stateOf(busy.pid)]);

  // Each way of bulk data has an agent of its own, to see what it alone leaves.
  const out = await localAgent();
  const head = { kind: 'argv', argv: ['head', '-c', String(BULK_BYTES), '/dev/zero'] } as const;
  await out.agent.exec({ program: head, ...quiet });
  rows.push(['after 1 GiB out', ...stateOf(out.pid)]);
  const into = await localAgent();
  const sink = { kind: 'argv', argv: ['sh', '-c', 'cat > /dev/null'] } as const;
  await into.agent.exec({ program: sink, ...quiet, stdin: zeros() });
  rows.push(['after 1 GiB in', ...stateOf(into.pid)]);

  const host = await hostWithImages(inject('sharedHome'));
  const { agent } = await bootGuest(host, 'size', { memoryMiB: 512, network: 'none' });
  let status = '';
  await shell(agent, 'cat /proc/1/status', signal, (text) => (status += text));
  rows.push(['PID 1 of a guest, idle', kib(status, 'VmRSS'), kib(status, 'RssAnon'), '', '']);
  console.log(table(rows));
});
