import { execFileSync, spawn, type ChildProcess, type StdioOptions } from 'node:child_process';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo } from 'node:net';
import path from 'node:path';

import { onTestFinished } from 'vitest';

import { delay } from '../../src/core/deadline.js';
import { QmpClient } from '../../src/providers/qemu/qmp.js';
import { bootGuest, keepRunning, type Guest } from './guest.js';
import { hostWithPackages } from './packages-image.js';
import { temporaryDirectory } from './temporary-directory.js';

const NAME = 'ssh';
const START_TIMEOUT_MS = 120_000;

/** The same guest reached in two ways: by its agent, and by an OpenSSH server that the agent started. */
export interface SshGuest extends Guest {
  readonly ssh: Ssh;
}

/** How a client of OpenSSH gets there. */
export class Ssh {
  readonly #directory: string;
  readonly #port: number;

  constructor(directory: string, port: number) {
    this.#directory = directory;
    this.#port = port;
  }

  /** Words for `ssh` and `scp`, the port left out since they spell it differently. */
  get #options(): readonly string[] {
    const known = ['StrictHostKeyChecking=no', 'UserKnownHostsFile=/dev/null', 'LogLevel=ERROR', 'BatchMode=yes'];
    const options = [...known, `Port=${this.#port}`].flatMap((option) => ['-o', option]);
    return ['-F', 'none', '-i', path.join(this.#directory, 'key'), ...options];
  }

  /** A command in the guest, over a connection of its own. */
  command(...words: readonly string[]): readonly string[] {
    return ['ssh', ...this.#options, 'root@127.0.0.1', ...words];
  }

  /** A command in the guest, over the one connection that {@link openMaster} made. */
  multiplexed(...words: readonly string[]): readonly string[] {
    return ['ssh', ...this.#options, '-S', this.#master, 'root@127.0.0.1', ...words];
  }

  copy(source: string, target: string): readonly string[] {
    return ['scp', '-q', ...this.#options, source, target];
  }

  /** Opens the connection that others share; it ends with the test. */
  async openMaster(): Promise<void> {
    const master = spawn('ssh', [...this.#options, '-M', '-S', this.#master, '-N', 'root@127.0.0.1'], {
      stdio: 'ignore',
    });
    onTestFinished(() => ended(master));
    const signal = AbortSignal.timeout(START_TIMEOUT_MS);
    while (spawnedCode(['ssh', ...this.#options, '-S', this.#master, '-O', 'check', 'root@127.0.0.1']) !== 0) {
      if (signal.aborted || master.exitCode !== null) throw new Error('ssh opened no connection to share');
      await delay(50);
    }
  }

  get #master(): string {
    return path.join(this.#directory, 'master');
  }
}

/** Boots the default image with OpenSSH in it; all of it goes when the test is over. */
export async function sshGuest(sharedHome: string, memoryMiB: number): Promise<SshGuest> {
  const directory = await temporaryDirectory();
  const host = await hostWithPackages(sharedHome, ['openssh-server']);
  const { agent, paths } = await bootGuest(host, NAME, { memoryMiB, network: 'open' });
  const signal = AbortSignal.timeout(START_TIMEOUT_MS);

  const port = await freePort();
  execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', path.join(directory, 'key')]);
  await agent.putFile(path.join(directory, 'key.pub'), '/root/.ssh/authorized_keys', { signal });
  const server = 'ssh-keygen -q -A && mkdir -p /run/sshd && exec /usr/sbin/sshd -D -e -o MaxStartups=100';
  keepRunning(agent, ['sh', '-c', server]);
  await forward(paths.qmp, port);
  await greeted(port, signal);
  return { agent, paths, ssh: new Ssh(directory, port) };
}

/** Lets QEMU pass a port of this host's loopback on to the guest's sshd. It ends with the VM. */
async function forward(qmp: string, port: number): Promise<void> {
  using monitor = await QmpClient.connect(qmp);
  const line = `hostfwd_add net0 tcp:127.0.0.1:${port}-:22`;
  const said = await monitor?.execute('human-monitor-command', { 'command-line': line });
  if (said !== '') throw new Error(`QEMU did not forward the port: ${String(said)}`);
}

/** QEMU takes connections before the guest does, and hangs up: only the server's own greeting counts. */
async function greeted(port: number, signal: AbortSignal): Promise<void> {
  for (;;) {
    const socket = connect(port, '127.0.0.1');
    const said = await Promise.race([
      once(socket, 'data', { signal }).then(([data]) => String(data)),
      once(socket, 'close', { signal }).then(() => ''),
    ]).catch(() => '');
    socket.destroy();
    if (said.startsWith('SSH-')) return;
    if (signal.aborted) throw new Error('sshd in the guest did not answer');
    await delay(100);
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

function spawnedCode([program = '', ...args]: readonly string[]): number | undefined {
  try {
    execFileSync(program, args, { stdio: 'ignore' });
    return 0;
  } catch {
    return undefined;
  }
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill();
  await once(child, 'close');
}

/** Runs a host program to its end; anything but exit code 0 is an error. */
export async function runToEnd([program = '', ...args]: readonly string[], stdio: StdioOptions): Promise<void> {
  const child = spawn(program, args, { stdio });
  const [code] = (await once(child, 'close')) as [number | null];
  if (code !== 0) throw new Error(`${program} ended with exit code ${String(code)}`);
}
