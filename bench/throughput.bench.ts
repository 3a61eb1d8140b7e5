import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { randomBytes } from 'node:crypto';
import path from 'node:path';

import { inject, it } from 'vitest';

import { shell } from '../test/support/guest.js';
import { runToEnd, sshGuest } from '../test/support/ssh-guest.js';
import { temporaryDirectory } from '../test/support/temporary-directory.js';
import { rawChannel } from './raw-channel.js';
import { median } from './statistics.js';
import { ratio, table } from './table.js';

// How fast bytes go between host and guest: by the agent, by OpenSSH to the same guest, and over a virtio-serial port with nothing
// but `dd` behind it, which is the most that the agent's own channel can carry.

const SCALE = Number(process.env['BENCH_SCALE'] ?? 1);
const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? 3);
const STDOUT_BYTES = Math.ceil(512 * SCALE) * 2 ** 20;
const FILE_BYTES = Math.ceil(256 * SCALE) * 2 ** 20;
const FILES = Math.ceil(10_000 * SCALE);
const FILES_IN_A_DIRECTORY = 100;
const TIMEOUT_MS = 3_600_000;

/** @returns how many bytes the files have together */
async function makeTree(directory: string): Promise<number> {
  let bytes = 0;
  for (let file = 0; file < FILES; file += 1) {
    const folder = path.join(directory, String(Math.floor(file / FILES_IN_A_DIRECTORY)));
    if (file % FILES_IN_A_DIRECTORY === 0) await mkdir(folder, { recursive: true });
    const content = randomBytes(2048 + ((file * 797) % 2049));
    await writeFile(path.join(folder, `file-${file}`), content);
    bytes += content.length;
  }
  return bytes;
}

/** Counts what a host program prints; the same Node reads it as reads what the agent sends. */
async function countOutput([program = '', ...args]: readonly string[]): Promise<number> {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  let bytes = 0;
  child.stdout.on('data', (data: Buffer) => (bytes += data.length));
  const [code] = (await once(child, 'close')) as [number | null];
  if (code !== 0) throw new Error(`${program} ended with exit code ${String(code)}`);
  return bytes;
}

function piped(from: readonly string[], to: readonly string[]): Promise<void> {
  return runToEnd(['sh', '-c', `${from.join(' ')} | ${to.join(' ')}`], ['ignore', 'inherit', 'inherit']);
}

it('throughput', { timeout: TIMEOUT_MS }, async () => {
  const signal = AbortSignal.timeout(TIMEOUT_MS);
  const directory = await temporaryDirectory();
  const at = (name: string): string => path.join(directory, name);
  await writeFile(at('file'), randomBytes(FILE_BYTES));
  const treeBytes = await makeTree(at('tree'));
  const { agent, paths, ssh } = await sshGuest(inject('sharedHome'), 2048);
  const raw = await rawChannel(agent, paths, signal);
  await shell(agent, 'mkdir -p /bench', signal);

  const taken = new Map<string, number[]>();
  /** What was left by the measure before must not be paid by this one. */
  const measure = async (name: string, run: () => Promise<number | undefined>): Promise<void> => {
    await shell(agent, 'sync', signal);
    const start = performance.now();
    const milliseconds = (await run()) ?? performance.now() - start;
    taken.set(name, [...(taken.get(name) ?? []), milliseconds]);
  };
  const timed = (run: () => Promise<void>) => async () => {
    await run();
    return undefined;
  };
  const cleared = async (name: string): Promise<void> => {
    await shell(agent, `rm -rf /bench/${name}`, signal);
    await rm(at(`${name}-back`), { recursive: true, force: true });
  };

  for (let round = 0; round < ROUNDS; round += 1) {
    await measure('stdout agent', async () => {
      let bytes = 0;
      const program = { kind: 'argv', argv: ['head', '-c', String(STDOUT_BYTES), '/dev/zero'] } as const;
      const start = performance.now();
      await agent.exec({
        program,
        onStdout: (data) => void (bytes += data.length),
        onStderr: () => undefined,
        signal,
      });
      if (bytes !== STDOUT_BYTES) throw new Error(`${bytes} bytes came`);
      return performance.now() - start;
    });
    await measure('stdout raw', () => raw.out(STDOUT_BYTES));
    await measure('stdout ssh', async () => {
      const start = performance.now();
      const bytes = await countOutput(ssh.command('head', '-c', String(STDOUT_BYTES), '/dev/zero'));
      if (bytes !== STDOUT_BYTES) throw new Error(`${bytes} bytes came`);
      return performance.now() - start;
    });

    await cleared('file');
    await measure(
      'put agent',
      timed(() => agent.putFile(at('file'), '/bench/file', { signal })),
    );
    await measure('put raw', () => raw.in(FILE_BYTES));
    await cleared('file');
    await measure(
      'put ssh',
      timed(() => runToEnd(ssh.copy(at('file'), 'root@127.0.0.1:/bench/file'), 'inherit')),
    );
    await measure(
      'get agent',
      timed(() => agent.getFile('/bench/file', at('file-back'), signal)),
    );
    await measure('get raw', () => raw.out(FILE_BYTES));
    await rm(at('file-back'));
    await measure(
      'get ssh',
      timed(() => runToEnd(ssh.copy('root@127.0.0.1:/bench/file', at('file-back')), 'inherit')),
    );
    await cleared('file');

    await measure(
      'put tree agent',
      timed(() => agent.putTree(at('tree'), '/bench/tree', { signal })),
    );
    await measure('put tree raw', () => raw.in(treeBytes));
    await cleared('tree');
    const intoGuest = ssh.command(`"mkdir /bench/tree && tar -xf - -C /bench/tree"`);
    await measure(
      'put tree ssh',
      timed(() => piped(['tar', '-cf', '-', '-C', at('tree'), '.'], intoGuest)),
    );
    const everything = { directory: '/bench/tree', include: [], exclude: [] };
    await measure(
      'get tree agent',
      timed(async () => {
        await agent.getTree(everything, at('tree-back'), signal);
      }),
    );
    await measure('get tree raw', () => raw.out(treeBytes));
    await rm(at('tree-back'), { recursive: true });
    await mkdir(at('tree-back'));
    const outOfGuest = ssh.command('tar', '-cf', '-', '-C', '/bench/tree', '.');
    await measure(
      'get tree ssh',
      timed(() => piped(outOfGuest, ['tar', '-xf', '-', '-C', at('tree-back')])),
    );
    await cleared('tree');
  }

  const row = (title: string, name: string, bytes: number, goal: string): string[] => {
    const speed = (way: string): number => bytes / 2 ** 20 / (median(taken.get(`${name} ${way}`) ?? []) / 1000);
    const [agentSpeed, rawSpeed, sshSpeed] = [speed('agent'), speed('raw'), speed('ssh')];
    const speeds = [agentSpeed, rawSpeed, sshSpeed].map((value) => value.toFixed(1));
    return [title, ...speeds, ratio(agentSpeed, rawSpeed), goal, ratio(agentSpeed, sshSpeed), '2 x'];
  };
  const mib = (bytes: number): string => `${Math.round(bytes / 2 ** 20)} MiB`;
  console.log(
    table([
      [`medians of ${ROUNDS}, MiB/s`, 'agent', 'raw', 'ssh', 'agent / raw', 'goal', 'agent / ssh', 'goal'],
      row(`stdout of ${mib(STDOUT_BYTES)}`, 'stdout', STDOUT_BYTES, '0.8 x'),
      row(`get a file of ${mib(FILE_BYTES)}`, 'get', FILE_BYTES, '0.8 x'),
      row(`put a file of ${mib(FILE_BYTES)}`, 'put', FILE_BYTES, '0.7 x'),
      row(`get a tree of ${FILES} files, ${mib(treeBytes)}`, 'get tree', treeBytes, ''),
      row(`put a tree of ${FILES} files, ${mib(treeBytes)}`, 'put tree', treeBytes, ''),
    ]),
  );
});
