import type { Socket } from 'node:net';

import { onTestFinished } from 'vitest';

import type { Endpoint } from '../../src/core/endpoint.js';
import { GuestAgent } from '../../src/guest/agent.js';
import { LinuxProcessTable } from '../../src/process/table.js';

/** An agent that a suite is run against: the shipped binary, somewhere. */
export interface Peer {
  /** Where it serves gRPC. */
  readonly endpoint: Endpoint;
  /** Connects to where it serves SmolVM's protocol. */
  readonly connectSmolvm: () => Promise<Socket>;
}

/** What is known of a peer before it is there. */
export interface Traits {
  readonly arch: 'amd64' | 'arm64';
  /** Whether it serves SmolVM's protocol on a virtio-serial port, which nobody can hang up on. */
  readonly smolvmIsPort: boolean;
  /** Whether the agent is PID 1 of a guest that belongs to the test. */
  readonly isGuest: boolean;
}

/** A peer that is there once the suite runs. */
export type LazyPeer = () => Peer;

/** Our own client of the peer, closed with the test. */
export async function connectAgent(peer: Peer): Promise<GuestAgent> {
  const agent = await GuestAgent.connect(peer.endpoint, {
    processes: new LinuxProcessTable(),
    signal: AbortSignal.timeout(20_000),
  });
  onTestFinished(() => agent.close());
  return agent;
}

/** Runs a shell command at the peer and returns what it printed. */
export async function shell(agent: GuestAgent, command: string): Promise<string> {
  const out: Uint8Array[] = [];
  await agent.exec({
    program: { kind: 'argv', argv: ['sh', '-c', command] },
    onStdout: (bytes) => void out.push(bytes),
    onStderr: (bytes) => void out.push(bytes),
    signal: AbortSignal.timeout(30_000),
  });
  return Buffer.concat(out).toString();
}

/** A directory at the peer that goes with the test. */
export async function peerDirectory(agent: GuestAgent): Promise<string> {
  const directory = (await shell(agent, 'mktemp -d')).trim();
  onTestFinished(async () => {
    await shell(agent, `rm -rf '${directory}'`);
  });
  return directory;
}

/** Whether a process runs at the peer. One that has ended and that nobody has asked for yet does not. */
export async function isRunning(agent: GuestAgent, pid: string): Promise<boolean> {
  return (await shell(agent, `grep -qs '^State:.[^Z]' /proc/${pid}/status && echo yes`)) === 'yes\n';
}
