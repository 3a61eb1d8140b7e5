import { randomBytes } from 'node:crypto';
import { readdir, symlink } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { once } from 'node:events';
import path from 'node:path';

import { describe, expect, it, onTestFinished } from 'vitest';

import { ContainerRegistry, type PushedImage } from '../support/container-registry.js';
import { answer, registryError, RegistryFront } from '../support/registry-front.js';
import { IMPATIENT, pullHost } from './pull-host.js';
import { rejection } from './support.js';

const MIB = 2 ** 20;

async function fronted(...layers: Buffer[]): Promise<{ front: RegistryFront; pushed: PushedImage; name: string }> {
  const registry = await ContainerRegistry.start();
  const pushed = await registry.pushImage('app', '1', layers.length === 0 ? [randomBytes(1000)] : layers);
  const front = await RegistryFront.start({ upstream: registry.port });
  return { front, pushed, name: `${front.host}/app:1` };
}

const layerOf = (pushed: PushedImage): string => pushed.layers[0]?.digest ?? '';

describe('a pull that fails', () => {
  it('because there is no such image or tag is the fault of who named it', async () => {
    const { front } = await fronted();
    const host = await pullHost();
    const noTag = await rejection(host.pull(`${front.host}/app:2`));
    expect(noTag).toMatchObject({ code: 'image-unavailable', blame: 'user' });
    expect(noTag.message).toMatch(/no such tag or digest: .*app:2\. The registry said \(manifest unknown\)/);
    const noImage = await rejection(host.pull(`${front.host}/other:1`));
    expect(noImage).toMatchObject({ code: 'image-unavailable', blame: 'user' });
  });

  it('because of a rate limit repeats what the registry said, and when to come back', async () => {
    const { front, name } = await fronted();
    const body = registryError('TOOMANYREQUESTS', 'You have reached your pull rate limit.\u001b[31m');
    front.misbehave = (_request, response) => answer(response, 429, body, { 'retry-after': '3600' });
    const error = await rejection((await pullHost()).pull(name));
    expect(error).toMatchObject({ code: 'registry-failed', blame: 'infra' });
    expect(error.message).toContain('(You have reached your pull rate limit.)');
    expect(error.message).toContain('Come back in 1 h 00 m');
    expect(front.requests.length).toBe(1);
  });

  it('because the registry is down says so after some tries', async () => {
    const { front, name } = await fronted();
    front.misbehave = (_request, response) => answer(response, 503, registryError('UNAVAILABLE', 'back soon'));
    const error = await rejection((await pullHost()).pull(name));
    expect(error).toMatchObject({ code: 'registry-failed', blame: 'infra' });
    expect(error.message).toContain('status 503 (back soon)');
    expect(front.requests.length).toBe(1 + IMPATIENT.retry.retries);
    front.stop();
    const gone = await rejection((await pullHost()).pull(name));
    expect(gone).toMatchObject({ code: 'registry-failed', blame: 'infra' });
    expect(gone.message).toContain('connection was refused');
  });

  it('because no name server knows the host says so', async () => {
    const error = await rejection((await pullHost()).pull('registry.invalid/app:1'));
    expect(error).toMatchObject({ code: 'registry-failed', blame: 'infra' });
    expect(error.message).toMatch(/registry\.invalid/);
  });

  it('because nothing comes any more names what it waited for', async () => {
    const silent = createServer().listen(0, '127.0.0.1');
    await once(silent, 'listening');
    onTestFinished(() => {
      silent.close();
    });
    const patience = { timeouts: { connect: 200, firstByte: 200, stall: 200 }, retry: { retries: 0, pauseMs: 1 } };
    const { port } = silent.address() as AddressInfo;
    const noAnswer = await rejection((await pullHost()).pull(`127.0.0.1:${port}/app:1`, { patience }));
    expect(noAnswer.message).toContain('no answer within 0.2 s');

    const { front, pushed, name } = await fronted(randomBytes(MIB));
    front.misbehave = (request, response) => {
      if (!request.url.pathname.endsWith(layerOf(pushed))) return false;
      response.writeHead(200).write(Buffer.alloc(1000));
      return true;
    };
    const stalling = { ...patience, timeouts: { ...IMPATIENT.timeouts, stall: 1000 } };
    const stalled = await rejection((await pullHost()).pull(name, { patience: stalling }));
    expect(stalled.message).toContain('nothing more within 1 s');
  });

  it.each(['wrong', 'endless', 'truncated'] as const)('because content is %s leaves no layer', async (kind) => {
    const { front, pushed, name } = await fronted(randomBytes(MIB));
    front.misbehave = (request, response) => {
      if (!request.url.pathname.endsWith(layerOf(pushed))) return false;
      const size = pushed.layers[0]?.size ?? 0;
      if (kind === 'truncated') return answer(response, 200, randomBytes(1000));
      if (kind === 'wrong') return answer(response, 200, randomBytes(size));
      response.writeHead(200);
      const more = (): void => {
        if (!response.destroyed) response.write(Buffer.alloc(MIB), more);
      };
      more();
      return true;
    };
    const host = await pullHost();
    const error = await rejection(host.pull(name));
    expect(error).toMatchObject({ code: 'registry-failed', blame: 'infra' });
    const reason = { wrong: 'another digest', endless: 'sends more than', truncated: 'connection was lost' }[kind];
    expect(error.message).toContain(reason);
    expect(await readdir(host.layers.directory)).toEqual([]);
    expect(await readdir(host.store.paths.locks)).toEqual([]);
    expect(host.assembled.size).toBe(0);
  });

  it('because a manifest is another than its digest says, or is too long', async () => {
    const { front, pushed } = await fronted();
    const host = await pullHost();
    front.misbehave = (_request, response) => answer(response, 200, { schemaVersion: 2 });
    const lie = await rejection(host.pull(`${front.host}/app@${pushed.digest}`));
    expect(lie).toMatchObject({ code: 'registry-failed' });
    expect(lie.message).toContain(`Expected ${pushed.digest}`);
    front.misbehave = (_request, response) => answer(response, 200, Buffer.alloc(5 * MIB));
    expect((await rejection(host.pull(`${front.host}/app:1`))).message).toContain('longer than 4194304 bytes');
  });

  it('because the disk is full says so', async () => {
    const { pushed, name } = await fronted(randomBytes(MIB));
    const host = await pullHost();
    // A device that takes nothing stands for a disk that is full.
    const part = path.join(host.store.paths.blobs, `${layerOf(pushed).replace(':', '-')}.part`);
    await symlink('/dev/full', part);
    const error = await rejection(host.pull(name));
    expect(error).toMatchObject({ code: 'disk-full', blame: 'infra' });
  });

  it('because somebody cancelled it lets go of everything', async () => {
    const { front, pushed, name } = await fronted(randomBytes(MIB));
    const controller = new AbortController();
    front.misbehave = (request, response) => {
      if (!request.url.pathname.endsWith(layerOf(pushed))) return false;
      response.writeHead(200).write(Buffer.alloc(1000), () => controller.abort());
      return true;
    };
    const host = await pullHost();
    const error = await rejection(host.pull(name, { signal: controller.signal }));
    expect(error.code).toBe('cancelled');
    expect(await readdir(host.store.paths.locks)).toEqual([]);
  });
});

describe('a pull goes on', () => {
  it('after errors that pass', async () => {
    const { front, name } = await fronted(randomBytes(MIB), randomBytes(MIB));
    const seen = new Map<string, number>();
    front.misbehave = (request, response) => {
      const times = (seen.get(request.url.pathname) ?? 0) + 1;
      seen.set(request.url.pathname, times);
      if (times === 1) return answer(response, 500);
      if (times === 2) return answer(response, 429, {}, { 'retry-after': '0' });
      if (times === 3) {
        response.destroy();
        return true;
      }
      return false;
    };
    await (await pullHost()).pull(name);
    expect([...seen.values()]).toEqual([4, 4, 4, 4]);
  });

  it('where a lost connection left it', async () => {
    const { front, pushed, name } = await fronted(randomBytes(30 * MIB));
    let cuts = 0;
    front.misbehave = async (request, response) => {
      if (!request.url.pathname.endsWith(layerOf(pushed)) || cuts === 10) return false;
      cuts += 1;
      await front.forward(request, response, 3 * MIB);
      return true;
    };
    await (await pullHost()).pull(name);
    expect(cuts).toBe(10);
    const size = pushed.layers[0]?.size ?? 0;
    expect(front.sentBytes(layerOf(pushed))).toBeLessThan(size + MIB);
  });

  it('as one stream when the registry gives no ranges', async () => {
    const { front, pushed, name } = await fronted(randomBytes(30 * MIB));
    front.misbehave = async (request, response) => {
      delete request.headers.range;
      await front.forward(request, response);
      return true;
    };
    await (await pullHost()).pull(name);
    expect(front.sentBytes(layerOf(pushed))).toBe(pushed.layers[0]?.size);
    expect(front.requestsTo(layerOf(pushed)).length).toBe(1);
  });

  it('with several ranges at a time, each asked for once', async () => {
    const { front, pushed, name } = await fronted(randomBytes(40 * MIB));
    await (await pullHost()).pull(name);
    expect(front.sentBytes(layerOf(pushed))).toBe(pushed.layers[0]?.size);
    expect(front.requestsTo(layerOf(pushed)).length).toBe(6);
  });
});
