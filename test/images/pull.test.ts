import { randomBytes } from 'node:crypto';
import { readdir } from 'node:fs/promises';

import { describe, expect, it } from 'vitest';

import { ContainerRegistry } from '../support/container-registry.js';
import { RegistryFront, tokenGate } from '../support/registry-front.js';
import { pullHost } from './pull-host.js';

const MIB = 2 ** 20;

describe('pulling an image', () => {
  it('brings manifest, configuration and layers', async () => {
    const registry = await ContainerRegistry.start();
    const contents = [randomBytes(100), randomBytes(3 * MIB), randomBytes(20 * MIB)];
    const pushed = await registry.pushImage('group/app', '1', contents);
    const host = await pullHost();
    const pulled = await host.pull(`${registry.host}/group/app:1`);
    expect(pulled).toEqual({ digest: pushed.digest, pinned: pushed.digest });
    const diffIds = pushed.layers.map(({ diffId }) => diffId);
    expect(host.assembled.get(pushed.digest)?.diffIds).toEqual(diffIds);
    for (const [at, diffId] of diffIds.entries()) {
      expect((await host.layers.read(diffId)).equals(contents[at] ?? Buffer.alloc(0))).toBe(true);
    }
    expect(await readdir(host.store.paths.blobs)).toEqual([]);
    expect(await readdir(host.store.paths.locks)).toEqual([]);
    const said = host.log.lines.filter((line) => line.startsWith('info: pulled'));
    expect(said).toEqual([expect.stringContaining(`/group/app:1@${pushed.digest} (3 of 3 layers, 23 MiB in `)]);
  });

  it('gets a token for the repository and shows it', async () => {
    const registry = await ContainerRegistry.start();
    await registry.pushImage('app', '1', [randomBytes(1000)]);
    const gate = tokenGate({ service: 'the service' });
    const front = await RegistryFront.start({ upstream: registry.port, misbehave: gate });
    await (await pullHost()).pull(`${front.host}/app:1`);
    expect(gate.issued.length).toBe(1);
  });
});
