import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import path from 'node:path';

import { AGENTS } from '../support/fake-host.js';
import type { Peer, Traits } from './peer.js';

const ARM64_EMULATOR = '/usr/bin/qemu-aarch64-static';

/**
 * Tells the kernel, in this namespace alone, what runs programs of arm64: the agent starts itself as its own worker, which an
 * emulator given on the command line would not see.
 */
const REGISTER_ARM64 = `
set -e
mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc
printf '%s' ':arm64:M::\\x7fELF\\x02\\x01\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x02\\x00\\xb7\\x00:\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\x00\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xfe\\xff\\xff\\xff:${ARM64_EMULATOR}:PF' \\
  > /proc/sys/fs/binfmt_misc/register
exec "$@"`;

/** The shipped binary as a process of this host, on unix sockets in a directory. */
export async function startLocalPeer(arch: Traits['arch'], directory: string): Promise<Peer & AsyncDisposable> {
  const [grpc, smolvm] = [path.join(directory, 'grpc'), path.join(directory, 'smolvm')];
  const binary = path.join(AGENTS, arch, 'vm-agent');
  const argv = [binary, 'serve', '--listen', `unix:${grpc}`, '--listen-smolvm', `unix:${smolvm}`];
  const child = arch === 'amd64' ? await start(argv) : await startEmulated(argv);
  return {
    endpoint: { kind: 'unix', path: grpc },
    connectSmolvm: () => connected(smolvm),
    [Symbol.asyncDispose]: async () => {
      child.kill('SIGTERM');
      if (child.exitCode === null && child.signalCode === null) await once(child, 'close');
    },
  };
}

/** Why the binary for arm64 cannot run on this host, if it cannot. */
export function arm64Obstacle(): string | undefined {
  if (process.getuid?.() !== 0) return 'needs root for a namespace with all users';
  return existsSync(ARM64_EMULATOR) ? undefined : `needs ${ARM64_EMULATOR} (package qemu-user-static)`;
}

async function start(argv: readonly string[], stdin: 'ignore' | 'pipe' = 'ignore'): Promise<ChildProcess> {
  const [program = '', ...args] = argv;
  const child = spawn(program, args, { stdio: [stdin, 'inherit', 'inherit'] });
  await once(child, 'spawn');
  return child;
}

/** Since Linux 6.7 a user namespace has a binfmt_misc of its own, so nothing of the machine is changed. */
async function startEmulated(argv: readonly string[]): Promise<ChildProcess> {
  const script = `echo ready >&3; read -r go; exec 3>&-; ${REGISTER_ARM64}`;
  const child = spawn('unshare', ['--user', '--mount', 'sh', '-c', script, 'sh', ...argv], {
    stdio: ['pipe', 'inherit', 'inherit', 'pipe'],
  });
  const [, , , announcement] = child.stdio;
  if (announcement === null || announcement === undefined) throw new Error('no fourth descriptor');
  await once(announcement, 'data');
  for (const map of ['uid_map', 'gid_map']) await writeFile(`/proc/${child.pid ?? 0}/${map}`, '0 0 65536');
  child.stdin?.end('go\n');
  return child;
}

/** Connects as soon as somebody listens. */
async function connected(file: string): Promise<Socket> {
  const deadline = AbortSignal.timeout(20_000);
  for (;;) {
    const socket = connect(file);
    try {
      await once(socket, 'connect', { signal: deadline });
      return socket;
    } catch (error) {
      socket.destroy();
      if (deadline.aborted) throw error;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}
