import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { afterAll, beforeAll, describe } from 'vitest';

import { agentConformance } from './agent.js';
import { fileConformance } from './files.js';
import { arm64Obstacle, startLocalPeer } from './local-peer.js';
import { smolvmConformance } from './smolvm.js';
import { tartConformance } from './tart.js';

const ARCHITECTURES = ['amd64', 'arm64'] as const;

describe.each(ARCHITECTURES)('the shipped agent for %s on a unix socket', (arch) => {
  const traits = { arch, smolvmIsPort: false, isGuest: false };
  const obstacle = arch === 'arm64' ? arm64Obstacle() : undefined;
  describe.skipIf(obstacle !== undefined)(obstacle ?? 'conforms', () => {
    let directory: string;
    let peer: Awaited<ReturnType<typeof startLocalPeer>>;
    beforeAll(async () => {
      directory = await mkdtemp(path.join(tmpdir(), 'vm-runner-peer-'));
      peer = await startLocalPeer(arch, directory);
    });
    afterAll(async () => {
      await peer[Symbol.asyncDispose]();
      await rm(directory, { recursive: true });
    });

    describe('vmrunner.agent.v1', () => {
      agentConformance(() => peer, traits);
      fileConformance(() => peer);
    });
    describe("Tart's service", () => tartConformance(() => peer));
    describe("SmolVM's protocol", () => smolvmConformance(() => peer, traits));
  });
});
