import { randomBytes } from 'node:crypto';

import { describe, expect, it } from 'vitest';

import { ContainerRegistry } from '../support/container-registry.js';
import { answer, RegistryFront } from '../support/registry-front.js';
import { pullHost } from './pull-host.js';

/** A registry, and a mirror that has the same. */
async function mirrored(content: Buffer) {
  const registry = await ContainerRegistry.start();
  const pushed = await registry.pushImage('app', '1', [content]);
  const origin = await RegistryFront.start({ upstream: registry.port });
  const mirror = await RegistryFront.start({ upstream: registry.port });
  const host = await pullHost({ mirrors: { [origin.host]: [`http://${mirror.host}`] } });
  return { registry, pushed, origin, mirror, host, name: `${origin.host}/app:1` };
}

describe('a mirror', () => {
  it('is asked instead of the registry, and told which one that is', async () => {
    const { origin, mirror, host, name } = await mirrored(randomBytes(1000));
    await host.pull(name);
    expect(origin.requests).toEqual([]);
    expect(mirror.requests.length).toBe(3);
    expect(mirror.requests.every(({ url }) => url.searchParams.get('ns') === origin.host)).toBe(true);
  });

  it('may have all repositories below a path', async () => {
    const { registry, origin, mirror } = await mirrored(randomBytes(1000));
    await registry.pushImage('cache/hub/app', '1', [randomBytes(1000)]);
    const host = await pullHost({ mirrors: { [origin.host]: [`http://${mirror.host}/cache/hub/`] } });
    await host.pull(`${origin.host}/app:1`);
    expect(origin.requests).toEqual([]);
  });

  it.each([404, 403, 500, 429])('that answers %i is left out', async (status) => {
    const { origin, mirror, host, name } = await mirrored(randomBytes(1000));
    mirror.misbehave = (_request, response) => answer(response, status);
    await host.pull(name);
    expect(mirror.requests.length).toBe(1);
    expect(origin.requests.length).toBe(3);
    expect(host.log.lines.filter((line) => line.includes(`mirror ${mirror.host}`)).length).toBe(1);
  });

  it('that is down is left out', async () => {
    const { mirror, host, name } = await mirrored(randomBytes(1000));
    mirror.stop();
    await host.pull(name);
  });

  it('that breaks off is left out', async () => {
    const { mirror, host, name, pushed } = await mirrored(randomBytes(2 ** 20));
    mirror.misbehave = async (request, response) => {
      if (!request.url.pathname.endsWith(pushed.layers[0]?.digest ?? '')) return false;
      await mirror.forward(request, response, 1000);
      return true;
    };
    await host.pull(name);
    expect(mirror.requestsTo(pushed.layers[0]?.digest ?? '').length).toBe(1);
  });

  it('that gives something else is found out by the digest', async () => {
    const { origin, mirror, host, name, pushed } = await mirrored(randomBytes(30 * 2 ** 20));
    const [layer] = pushed.layers;
    mirror.misbehave = (request, response) => {
      if (!request.url.pathname.endsWith(layer?.digest ?? '')) return false;
      return answer(response, 200, randomBytes(layer?.size ?? 0));
    };
    await host.pull(name);
    expect((await host.layers.read(layer?.diffId ?? '')).length).toBe(30 * 2 ** 20);
    expect(origin.requestsTo('/blobs/').length).toBeGreaterThan(0);
  });
});
