import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';

import { onTestFinished } from 'vitest';

import { GuestAgent, type ConnectOptions } from '../../src/guest/agent.js';
import { LinuxProcessTable } from '../../src/process/table.js';
import { AGENTS } from './fake-host.js';
import { temporaryDirectory } from './temporary-directory.js';

/** The shipped one for this host. */
export const AGENT_BINARY = path.join(AGENTS, 'amd64/vm-agent');

export interface LocalAgent {
  readonly agent: GuestAgent;
  readonly socket: string;
  readonly directory: string;
  readonly pid: number;
}

/** The shipped agent as a process of this host, on a unix socket, with a client connected. */
export async function localAgent(options: Pick<ConnectOptions, 'onlyTart'> = {}): Promise<LocalAgent> {
  const directory = await temporaryDirectory();
  const socket = path.join(directory, 'agent');
  const child = spawn(AGENT_BINARY, ['serve', '--listen', `unix:${socket}`], {
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  await once(child, 'spawn');
  onTestFinished(async () => {
    child.kill('SIGTERM');
    if (child.exitCode === null && child.signalCode === null) await once(child, 'close');
  });
  const agent = await GuestAgent.connect(
    { kind: 'unix', path: socket },
    { processes: new LinuxProcessTable(), signal: AbortSignal.timeout(10_000), ...options },
  );
  onTestFinished(() => agent.close());
  return { agent, socket, directory, pid: child.pid ?? 0 };
}
