import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

import { afterAll, beforeAll, describe, inject } from 'vitest';

import { Timeline } from '../../src/core/log.js';
import { openHost } from '../../src/providers/host.js';
import type { Host } from '../../src/providers/provider.js';
import { cleanup } from '../../src/stages/cleanup.js';
import { prepare } from '../../src/stages/prepare.js';
import { agentConformance } from '../conformance/agent.js';
import { fileConformance } from '../conformance/files.js';
import type { Peer } from '../conformance/peer.js';
import { smolvmConformance } from '../conformance/smolvm.js';
import { tartConformance } from '../conformance/tart.js';
import { AGENTS, keptLog } from '../support/fake-host.js';

const NAME = `conformance-${process.pid}`;
const TRAITS = { arch: 'amd64', smolvmIsPort: true, isGuest: true } as const;

describe('the agent as PID 1 of a guest, on virtio-serial ports', () => {
  let host: Host;
  let peer: Peer;
  beforeAll(async () => {
    host = await openHost({ home: inject('sharedHome'), provider: 'qemu', agentDirectory: AGENTS });
    const request = {
      vm: { image: 'default', cpus: undefined, memoryMiB: 1024, network: 'open' as const },
      name: NAME,
      owner: host.processes.self,
      expiresAt: Date.now() + 3_600_000,
      bootTimeoutMs: 120_000,
      frontEnd: 'test',
      job: undefined,
    };
    const context = { log: keptLog(), timeline: new Timeline(), signal: AbortSignal.timeout(300_000) };
    const record = await prepare(host, request, context);
    const { smolvm } = host.store.vms.paths(NAME);
    peer = { endpoint: record.endpoint, connectSmolvm: () => connected(smolvm) };
  });
  afterAll(async () => {
    await cleanup(host, NAME, { keepLogs: false, log: keptLog() });
  });

  describe('vmrunner.agent.v1', () => {
    agentConformance(() => peer, TRAITS);
    fileConformance(() => peer);
  });
  describe("Tart's service", () => tartConformance(() => peer));
  describe("SmolVM's protocol", () => smolvmConformance(() => peer, TRAITS));
});

async function connected(file: string): Promise<Socket> {
  const socket = connect(file);
  await once(socket, 'connect');
  return socket;
}
