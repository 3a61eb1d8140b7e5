import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import path from 'node:path';

import { inject, it } from 'vitest';

import { Timeline } from '../src/core/log.js';
import { GuestAgent } from '../src/guest/agent.js';
import { openHost } from '../src/providers/host.js';
import { withAgent } from '../src/stages/attach.js';
import { cleanup } from '../src/stages/cleanup.js';
import { prepare } from '../src/stages/prepare.js';
import { LinuxProcessTable } from '../src/process/table.js';
import { keptLog } from '../test/support/fake-host.js';
import { homeWithImages } from '../test/support/e2e.js';
import { temporaryDirectory } from '../test/support/temporary-directory.js';

// How long it takes to run `true`, over a unix socket on this host and over virtio-serial in a guest, side by side in one
// run; and what the agent needs of memory. Prints, and asserts nothing: the machine is shared.

const AGENTS = path.resolve(import.meta.dirname, '../dist/agent');
const ROUNDS = 300;

async function latencies(agent: GuestAgent): Promise<number[]> {
  const times: number[] = [];
  const program = { kind: 'argv', argv: ['true'] } as const;
  const quiet = { onStdout: () => undefined, onStderr: () => undefined, signal: AbortSignal.timeout(280_000) };
  for (let round = 0; round < ROUNDS + 20; round += 1) {
    const start = performance.now();
    await agent.exec({ program, ...quiet });
    // The first ones pay for caches and, under emulation, for translated code.
    if (round >= 20) times.push(performance.now() - start);
  }
  return times.sort((a, b) => a - b);
}

const at = (sorted: readonly number[], part: number): string =>
  (sorted[Math.floor(sorted.length * part)] ?? 0).toFixed(2);
const residentKiB = (status: string): string => /VmRSS:\s+(\d+) kB/.exec(status)?.[1] ?? '?';

it(`exec true, ${ROUNDS} times`, async () => {
  const processes = new LinuxProcessTable();
  const socket = path.join(await temporaryDirectory(), 'agent');
  const child = spawn(path.join(AGENTS, 'amd64/vm-agent'), ['serve', '--listen', `unix:${socket}`], {
    stdio: 'ignore',
  });
  const local = await GuestAgent.connect(
    { kind: 'unix', path: socket },
    { processes, signal: AbortSignal.timeout(10_000) },
  );
  const idleLocal = residentKiB(await readFile(`/proc/${child.pid ?? 0}/status`, 'utf8'));
  const onHost = await latencies(local);
  const usedLocal = residentKiB(await readFile(`/proc/${child.pid ?? 0}/status`, 'utf8'));
  await local.close();
  child.kill();
  await once(child, 'close');

  const { home } = await homeWithImages(inject('sharedHome'));
  const host = await openHost({ home, provider: 'qemu', agentDirectory: AGENTS });
  const signal = AbortSignal.timeout(280_000);
  const vm = { image: 'default', cpus: undefined, memoryMiB: 1024, network: 'none' } as const;
  const request = {
    vm,
    name: 'bench',
    owner: processes.self,
    expiresAt: Date.now() + 3_600_000,
    bootTimeoutMs: 120_000,
    frontEnd: 'bench',
    job: undefined,
  };
  const record = await prepare(host, request, { log: keptLog(), timeline: new Timeline(), signal });
  try {
    await withAgent(host, record, signal, async (agent) => {
      const memory = async (): Promise<string> => {
        let text = '';
        const onStdout = (bytes: Uint8Array): void => void (text += Buffer.from(bytes).toString());
        await agent.exec({
          program: { kind: 'argv', argv: ['cat', '/proc/1/status'] },
          onStdout,
          onStderr: () => undefined,
          signal,
        });
        return residentKiB(text);
      };
      const idle = await memory();
      const inGuest = await latencies(agent);
      console.log(
        [
          `                         p50 ms   p95 ms   agent resident KiB idle, after ${ROUNDS} execs`,
          `unix socket, this host   ${at(onHost, 0.5).padStart(6)}   ${at(onHost, 0.95).padStart(6)}   ${idleLocal}, ${usedLocal}`,
          `virtio-serial, guest     ${at(inGuest, 0.5).padStart(6)}   ${at(inGuest, 0.95).padStart(6)}   ${idle}, ${await memory()}`,
        ].join('\n'),
      );
    });
  } finally {
    await cleanup(host, 'bench', { keepLogs: false, log: keptLog() });
  }
});
