import { afterAll, beforeAll, describe } from 'vitest';

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { arm64Obstacle, startLocalPeer } from './local-peer.js';
import { smolvmConformance } from './smolvm.js';

const ARCHITECTURES = ['amd64', 'arm64'] as const;

describe.each(ARCHITECTURES)('the shipped agent for %s on a unix socket', (arch) => {
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

    describe("SmolVM's protocol", () => smolvmConformance(() => peer));
  });
});
