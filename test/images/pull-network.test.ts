import { randomBytes } from 'node:crypto';

import { describe, expect, it } from 'vitest';

import { parseProxy } from '../../src/images/registry/proxy.js';
import { TestAuthority, type Certificate } from '../support/certificates.js';
import { ConnectProxy } from '../support/connect-proxy.js';
import { ContainerRegistry } from '../support/container-registry.js';
import { answer, RegistryFront, tokenGate } from '../support/registry-front.js';
import { IMPATIENT, pullHost } from './pull-host.js';
import { rejection } from './support.js';

async function secured(certificate: Certificate): Promise<RegistryFront> {
  const registry = await ContainerRegistry.start();
  await registry.pushImage('app', '1', [randomBytes(1000), randomBytes(20 * 2 ** 20)]);
  return RegistryFront.start({ upstream: registry.port, tls: certificate });
}

describe('a registry with TLS', () => {
  it('is believed with the CA file of its authority', async () => {
    const authority = await TestAuthority.create();
    const front = await secured(await authority.issue('127.0.0.1'));
    await (await pullHost({ caFiles: { [front.host]: authority.file } })).pull(`${front.host}/app:1`);
  });

  it('is refused without, with the way out', async () => {
    const front = await secured(await (await TestAuthority.create()).issue('127.0.0.1'));
    const other = await TestAuthority.create();
    const error = await rejection(
      (await pullHost({ caFiles: { [front.host]: other.file } })).pull(`${front.host}/app:1`),
    );
    expect(error).toMatchObject({ code: 'registry-failed', blame: 'infra' });
    expect(error.message).toContain('certificate is of no authority that this host trusts');
    expect(error.message).toContain('CA file');
  });

  it('is refused when its certificate has expired or is for another host', async () => {
    const authority = await TestAuthority.create();
    const reasons = [
      [await authority.issue('127.0.0.1', -1), 'certificate has expired'],
      [await authority.issue('r.example'), 'certificate is for another host'],
    ] as const;
    for (const [certificate, reason] of reasons) {
      const front = await secured(certificate);
      const host = await pullHost({ caFiles: { [front.host]: authority.file } });
      expect((await rejection(host.pull(`${front.host}/app:1`))).message).toContain(reason);
    }
  });

  it('sends us neither to plain HTTP nor to our own host', async () => {
    const authority = await TestAuthority.create();
    const front = await secured(await authority.issue('r.example'));
    const proxy = await ConnectProxy.start({ 'r.example:443': front.port });
    const settings = { caFiles: { 'r.example': authority.file }, proxy: parseProxy({ ALL_PROXY: proxy.host }) };
    for (const location of ['http://r.example/v2/', `https://${front.host}/v2/`, 'http://localhost/']) {
      front.misbehave = (_request, response) => answer(response, 307, '', { location });
      const error = await rejection((await pullHost(settings)).pull('r.example/app:1'));
      expect(error.message).toContain('sends us to an address that is not safe');
    }
    front.misbehave = tokenGate({ service: 's', realm: `http://${front.host}/token` });
    const error = await rejection((await pullHost(settings)).pull('r.example/app:1'));
    expect(error.message).toContain('sends us for a token');
  });

  it('that speaks plain HTTP instead is told', async () => {
    const authority = await TestAuthority.create();
    const registry = await ContainerRegistry.start();
    const host = await pullHost({ caFiles: { [registry.host]: authority.file } });
    const error = await rejection(host.pull(`${registry.host}/app:1`));
    expect(error.message).toContain('The other end may speak plain HTTP');
  });

  it('whose CA file holds no certificate is a mistake', async () => {
    const front = await secured(await (await TestAuthority.create()).issue('127.0.0.1'));
    const host = await pullHost({ caFiles: { [front.host]: '/etc/hostname' } });
    expect((await rejection(host.pull(`${front.host}/app:1`))).code).toBe('invalid-input');
  });
});

describe('a proxy', () => {
  it('is asked for a connection, in which TLS is between us and the registry', async () => {
    const authority = await TestAuthority.create();
    const front = await secured(await authority.issue('r.example'));
    front.misbehave = tokenGate({ service: 's', realm: 'https://r.example/token' });
    const authorization = `Basic ${Buffer.from('me:p@ss').toString('base64')}`;
    const proxy = await ConnectProxy.start({ 'r.example:443': front.port }, authorization);
    const host = await pullHost({
      caFiles: { 'r.example': authority.file },
      proxy: parseProxy({ HTTPS_PROXY: `http://me:p%40ss@${proxy.host}` }),
    });
    await host.pull('r.example/app:1');
    expect(new Set(proxy.asked)).toEqual(new Set(['r.example:443']));
    // Connections are kept: a token, documents and layers share them.
    expect(proxy.asked.length).toBeLessThan(front.requests.length);
  });

  it('is given the whole address of a plain registry', async () => {
    const registry = await ContainerRegistry.start();
    await registry.pushImage('app', '1', [randomBytes(1000)]);
    const proxy = await ConnectProxy.start({ 'r.example:5000': registry.port });
    const settings = { insecure: ['r.example:5000'], proxy: parseProxy({ HTTP_PROXY: `http://${proxy.host}` }) };
    await (await pullHost(settings)).pull('r.example:5000/app:1');
    expect(proxy.asked[0]).toBe('http://r.example:5000/v2/app/manifests/1');
  });

  it('that refuses, wants a password or is down is named, without the password', async () => {
    const patience = { ...IMPATIENT, retry: { retries: 0, pauseMs: 1 } };
    const failure = async (address: string): Promise<string> => {
      const host = await pullHost({ proxy: parseProxy({ HTTPS_PROXY: address }) });
      const error = await rejection(host.pull('r.example/app:1', { patience }));
      expect(error).toMatchObject({ code: 'registry-failed', blame: 'infra' });
      expect(JSON.stringify([error.message, error.stack, error.detail])).not.toContain('hunter2');
      return error.message;
    };
    const open = await ConnectProxy.start({});
    expect(await failure(`http://${open.host}`)).toContain('refused a connection with status 403: r.example:443');
    const closed = await ConnectProxy.start({}, 'Basic other');
    expect(await failure(`http://me:hunter2@${closed.host}`)).toContain('It wants other credentials');
    expect(await failure('http://me:hunter2@127.0.0.1:1')).toContain('the proxy cannot be reached');
  });
});
