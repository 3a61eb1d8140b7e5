import { execFileSync } from 'node:child_process';
import path from 'node:path';

import { inject, it } from 'vitest';

import type { GuestAgent } from '../src/guest/agent.js';
import { localAgent } from '../test/support/agent.js';
import { runToEnd, sshGuest } from '../test/support/ssh-guest.js';
import { temporaryDirectory } from '../test/support/temporary-directory.js';
import { quantile } from './statistics.js';
import { ratio, table } from './table.js';

// How long it takes to run `true` in a guest: by the agent over virtio-serial, by OpenSSH to the same guest, and by a process in
// the guest that only starts it and waits, which is the least it can cost. And by the agent on this host, over a unix socket.

const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? 1000);
/** All ways take turns in as many blocks, so that a noisy host disturbs all of them. */
const BLOCKS = 10;
/** A connection of its own for each `true` takes so long that a tenth of the rounds must do. */
const FRESH_ROUNDS = Math.ceil(ROUNDS / 10);
const FLOOR = '/usr/local/bin/spawn-floor';

const signal = AbortSignal.timeout(1_800_000);
const quiet = { onStdout: () => undefined, onStderr: () => undefined, signal };

function byAgent(agent: GuestAgent): () => Promise<void> {
  return async () => {
    const { code } = await agent.exec({ program: { kind: 'argv', argv: ['true'] }, ...quiet });
    if (code !== 0) throw new Error(`true ended with exit code ${code}`);
  };
}

async function times(rounds: number, run: () => Promise<void>): Promise<number[]> {
  const taken: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    const start = performance.now();
    await run();
    taken.push(performance.now() - start);
  }
  return taken;
}

async function putFloor(agent: GuestAgent): Promise<void> {
  const binary = path.join(await temporaryDirectory(), 'spawn-floor');
  const source = path.join(import.meta.dirname, 'spawn-floor.rs');
  execFileSync('rustc', ['--edition=2024', '-O', '--target=x86_64-unknown-linux-musl', '-o', binary, source]);
  await agent.putFile(binary, FLOOR, { signal });
}

/** Measured in the guest, by the guest's clock. */
async function floorTimes(agent: GuestAgent, rounds: number): Promise<number[]> {
  let printed = '';
  const onStdout = (bytes: Uint8Array): void => void (printed += Buffer.from(bytes).toString());
  const program = { kind: 'argv', argv: [FLOOR, String(rounds)] } as const;
  const { code } = await agent.exec({ program, ...quiet, onStdout });
  if (code !== 0) throw new Error(`${FLOOR} ended with exit code ${code}`);
  return printed
    .trim()
    .split('\n')
    .map((nanoseconds) => Number(nanoseconds) / 1e6);
}

it(`exec true, ${ROUNDS} times`, { timeout: 1_800_000 }, async () => {
  const local = await localAgent();
  const { agent, ssh } = await sshGuest(inject('sharedHome'), 1024);
  await putFloor(agent);
  await ssh.openMaster();

  const ways = {
    host: (rounds: number) => times(rounds, byAgent(local.agent)),
    guest: (rounds: number) => times(rounds, byAgent(agent)),
    floor: (rounds: number) => floorTimes(agent, rounds),
    multiplexed: (rounds: number) => times(rounds, () => runToEnd(ssh.multiplexed('true'), 'ignore')),
    fresh: (rounds: number) => times(rounds, () => runToEnd(ssh.command('true'), 'ignore')),
  };
  const taken = { host: [], guest: [], floor: [], multiplexed: [], fresh: [] } as Record<keyof typeof ways, number[]>;
  const names = Object.keys(ways) as (keyof typeof ways)[];
  // The first ones pay for caches and, under emulation, for translated code.
  for (const name of names) await ways[name](name === 'fresh' ? 2 : 20);
  for (let block = 0; block < BLOCKS; block += 1) {
    for (const name of names) {
      const rounds = Math.ceil((name === 'fresh' ? FRESH_ROUNDS : ROUNDS) / BLOCKS);
      taken[name].push(...(await ways[name](rounds)));
    }
  }

  const p50 = (name: keyof typeof ways): number => quantile(taken[name], 0.5);
  const row = (title: string, name: keyof typeof ways): string[] => {
    return [title, String(taken[name].length), p50(name).toFixed(2), quantile(taken[name], 0.95).toFixed(2)];
  };
  console.log(
    table([
      ['exec true', 'times', 'p50 ms', 'p95 ms'],
      row('agent, unix socket on this host', 'host'),
      row('agent, virtio-serial, guest', 'guest'),
      row('floor: only spawn and wait, in the guest', 'floor'),
      row('ssh over one shared connection (ControlMaster)', 'multiplexed'),
      row('ssh, a connection each', 'fresh'),
    ]),
  );
  console.log(
    table([
      ['ratio of the p50s in the guest', ''],
      ['agent / floor', ratio(p50('guest'), p50('floor'))],
      ['ssh over one shared connection / agent', ratio(p50('multiplexed'), p50('guest'))],
      ['ssh, a connection each / agent', ratio(p50('fresh'), p50('guest'))],
    ]),
  );
});
