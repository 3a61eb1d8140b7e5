import { randomBytes } from 'node:crypto';
import { readdir } from 'node:fs/promises';

import { describe, expect, it } from 'vitest';

import { ContainerRegistry } from '../support/container-registry.js';
import { answer, RegistryFront, tokenGate } from '../support/registry-front.js';
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
    expect(said).toEqual([expect.stringContaining(`/group/app:1@${pushed.digest} (3 of 3 layers, 23 MiB at `)]);
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

describe('an image that is here already', () => {
  it('costs one request by its tag, and none by its digest', async () => {
    const registry = await ContainerRegistry.start();
    const pushed = await registry.pushImage('app', '1', [randomBytes(1000)]);
    const front = await RegistryFront.start({ upstream: registry.port });
    const host = await pullHost();
    const previous = await host.pull(`${front.host}/app:1`);
    front.requests.length = 0;
    expect(await host.pull(`${front.host}/app:1`, { previous })).toEqual(previous);
    expect(front.requests.map(({ method }) => method)).toEqual(['HEAD']);
    front.requests.length = 0;
    expect(await host.pull(`${front.host}/app@${pushed.digest}`)).toEqual(previous);
    expect(front.requests).toEqual([]);
    // Without a memory of the tag its manifest says enough.
    await host.pull(`${front.host}/app:1`);
    expect(front.requests.map(({ method }) => method)).toEqual(['GET']);
  });

  it('is found by its manifest where a registry does not take HEAD', async () => {
    const registry = await ContainerRegistry.start();
    await registry.pushImage('app', '1', [randomBytes(1000)]);
    const front = await RegistryFront.start({ upstream: registry.port });
    const host = await pullHost();
    const previous = await host.pull(`${front.host}/app:1`);
    front.requests.length = 0;
    front.misbehave = ({ method }, response) => method === 'HEAD' && answer(response, 405);
    expect(await host.pull(`${front.host}/app:1`, { previous })).toEqual(previous);
    expect(front.requests.map(({ method }) => method)).toEqual(['HEAD', 'GET']);
  });

  it('is pulled anew when its tag moved', async () => {
    const registry = await ContainerRegistry.start();
    await registry.pushImage('app', '1', [randomBytes(1000)]);
    const host = await pullHost();
    const previous = await host.pull(`${registry.host}/app:1`);
    const moved = await registry.pushImage('app', '1', [randomBytes(1000)]);
    expect((await host.pull(`${registry.host}/app:1`, { previous })).digest).toBe(moved.digest);
  });

  it('shares its layers with the next one', async () => {
    const registry = await ContainerRegistry.start();
    const shared = randomBytes(MIB);
    await registry.pushImage('a', '1', [shared]);
    const second = await registry.pushImage('b', '1', [shared, randomBytes(1000), shared]);
    const front = await RegistryFront.start({ upstream: registry.port });
    const host = await pullHost();
    await host.pull(`${front.host}/a:1`);
    front.requests.length = 0;
    await host.pull(`${front.host}/b:1`);
    expect(front.requestsTo('/blobs/').length).toBe(2);
    expect(host.assembled.get(second.digest)?.diffIds.length).toBe(3);
  });
});

describe('what a pull shows', () => {
  it('is how far it is', async () => {
    const registry = await ContainerRegistry.start();
    await registry.pushImage('app', '1', [randomBytes(5 * MIB)]);
    const host = await pullHost();
    await host.pull(`${registry.host}/app:1`);
    const shown = host.log.lines.filter((line) => line.startsWith('progress: '));
    expect(shown.at(-1)).toMatch(/^progress: pulling .*: all of its 5\.0 MiB came, converting layers$/);
    expect(shown[0]).toMatch(/^progress: pulling 127\.0\.0\.1:\d+\/app:1 \[#*\.*\] \d+ % .* of 5\.0 MiB, .*\/s$/);
  });
});
