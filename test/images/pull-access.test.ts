import { randomBytes } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { inspect } from 'node:util';

import { describe, expect, it } from 'vitest';

import type { CredentialSource } from '../../src/images/registry/options.js';
import { ContainerRegistry } from '../support/container-registry.js';
import { answer, registryError, RegistryFront, tokenGate, type TokenRules } from '../support/registry-front.js';
import { pullHost } from './pull-host.js';
import { rejection } from './support.js';

const SECRET = 'correct-horse-battery';
const basic = (user: string, password: string): string =>
  `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
const login = (registry: string, password = SECRET): CredentialSource => ({
  kind: 'login',
  name: 'the test',
  registry,
  username: 'me',
  password,
});

/** A registry with one image `app:1` that gives tokens. */
async function gated(rules: Partial<TokenRules> = {}) {
  const registry = await ContainerRegistry.start();
  const content = randomBytes(1000);
  await registry.pushImage('app', '1', [content]);
  const gate = tokenGate({ service: 'svc', ...rules });
  const front = await RegistryFront.start({ upstream: registry.port, misbehave: gate });
  return { registry, front, gate };
}

describe('access to a registry', () => {
  it('is had with a user and a password', async () => {
    const { front, gate } = await gated({ authorization: basic('me', SECRET) });
    const host = await pullHost({ credentials: [login(front.host)] });
    await host.pull(`${front.host}/app:1`);
    expect(gate.issued.length).toBe(1);
    // The password goes to the token service alone.
    const seen = front.requestsTo('/v2/').map(({ headers }) => headers.authorization ?? '');
    expect(seen.filter((header) => header.startsWith('Basic'))).toEqual([]);
  });

  it('leaves no secret in the store or in the log', async () => {
    const { front, gate } = await gated({ authorization: basic('me', SECRET) });
    const host = await pullHost({ credentials: [login(front.host)] });
    front.misbehave = (request, response, incoming) =>
      request.url.pathname.includes('/blobs/')
        ? answer(response, 403, registryError('DENIED', JSON.stringify(request.headers)))
        : gate(request, response, incoming);
    const error = await rejection(host.pull(`${front.host}/app:1`));
    front.misbehave = gate;
    await host.pull(`${front.host}/app:1`);
    const { home } = host.store.paths;
    const names = await readdir(home, { recursive: true, withFileTypes: true });
    const files = names.filter((entry) => entry.isFile()).map((entry) => path.join(entry.parentPath, entry.name));
    const texts = await Promise.all(files.map((file) => readFile(file, 'latin1')));
    expect(files.length).toBeGreaterThan(0);
    const everything = [...texts, ...host.log.lines, inspect(error, { depth: 10 })].join('\n');
    for (const secret of [SECRET, basic('me', SECRET).slice(6), ...gate.issued]) {
      expect(everything.includes(secret)).toBe(false);
    }
  });

  it('is had with an identity token', async () => {
    const { front } = await gated({ refreshToken: SECRET });
    const auths = { [front.host]: { identitytoken: SECRET } };
    const source: CredentialSource = { kind: 'text', name: 'config', text: JSON.stringify({ auths }) };
    await (await pullHost({ credentials: [source] })).pull(`${front.host}/app:1`);
    expect(front.requestsTo('/token').map(({ method }) => method)).toEqual(['POST']);
  });

  it('is had with a password alone where there are no tokens', async () => {
    const registry = await ContainerRegistry.start();
    await registry.pushImage('app', '1', [randomBytes(1000)]);
    const front = await RegistryFront.start({
      upstream: registry.port,
      misbehave: ({ headers }, response) =>
        headers.authorization !== basic('me', SECRET) &&
        answer(response, 401, registryError('UNAUTHORIZED', 'no'), { 'www-authenticate': 'Basic realm="r"' }),
    });
    await (await pullHost({ credentials: [login(front.host)] })).pull(`${front.host}/app:1`);
    const error = await rejection((await pullHost()).pull(`${front.host}/app:1`));
    expect(error.code).toBe('image-unavailable');
  });

  it('without credentials to a private image says that none were given', async () => {
    const { front } = await gated({ authorization: basic('me', SECRET) });
    const error = await rejection((await pullHost()).pull(`${front.host}/app:1`));
    expect(error).toMatchObject({ code: 'image-unavailable', blame: 'user' });
    expect(error.message).toContain('incorrect username or password');
    expect(error.message).toContain(`No credentials for ${front.host} were given`);
  });

  it('with wrong credentials says where they were from, and never what they are', async () => {
    const { front } = await gated({ authorization: basic('me', SECRET) });
    const host = await pullHost({ credentials: [login(front.host, 'wrong-staple')] });
    const error = await rejection(host.pull(`${front.host}/app:1`));
    expect(error).toMatchObject({ code: 'image-unavailable', blame: 'user' });
    expect(error.message).toContain('The credentials were from the test');
    const everything = JSON.stringify([error.message, error.stack, error.detail, error.cause, host.log.lines]);
    expect(everything).not.toContain('wrong-staple');
    expect(everything).not.toContain(basic('me', 'wrong-staple').slice(6));
  });

  it('gets one new token when the old one is refused in the middle', async () => {
    const { front, gate } = await gated();
    let revoked = false;
    const misbehave: typeof front.misbehave = (request, response, incoming) => {
      if (request.url.pathname.includes('/blobs/') && !revoked) {
        revoked = true;
        gate.revokeAll();
      }
      return gate(request, response, incoming);
    };
    front.misbehave = misbehave;
    await (await pullHost()).pull(`${front.host}/app:1`);
    expect(gate.issued.length).toBe(2);
  });

  it('gets new tokens by itself when they are about to expire', async () => {
    const { front, gate } = await gated({ expiresIn: 4 });
    await (await pullHost()).pull(`${front.host}/app:1`);
    expect(gate.issued.length).toBeGreaterThan(1);
    expect(front.requestsTo('/v2/').filter(({ status }) => status === 401).length).toBe(1);
  });

  it('shows its token to no other host', async () => {
    const { registry, front, gate } = await gated();
    const storage = await RegistryFront.start({
      upstream: registry.port,
      misbehave: ({ headers }, response) => headers.authorization !== undefined && answer(response, 400),
    });
    front.misbehave = async (request, response, incoming) => {
      if (await gate(request, response, incoming)) return true;
      const { pathname } = request.url;
      if (!pathname.includes('/blobs/')) return false;
      return answer(response, 307, '', { location: `http://${storage.host}${pathname}?signature=${SECRET}` });
    };
    const host = await pullHost();
    await host.pull(`${front.host}/app:1`);
    expect(storage.requestsTo('/blobs/').length).toBe(2);
    storage.misbehave = (_request, response) => answer(response, 403, '<xml>');
    const error = await rejection((await pullHost()).pull(`${front.host}/app:1`));
    expect(JSON.stringify([error.message, error.stack, error.cause])).not.toContain(SECRET);
  });

  it('does not fetch a token over plain HTTP from elsewhere', async () => {
    const { front } = await gated({ realm: 'http://auth.example/token' });
    const host = await pullHost({ credentials: [login(front.host)] });
    const error = await rejection(host.pull(`${front.host}/app:1`));
    expect(error.code).toBe('registry-failed');
    expect(error.message).toContain('http://auth.example/token');
  });

  it('whose answer repeats a secret does not make us repeat it', async () => {
    const { front } = await gated();
    front.misbehave = ({ headers }, response) => {
      const echo = registryError('DENIED', `you sent ${headers.authorization ?? 'nothing'}`);
      return answer(response, 401, echo, { 'www-authenticate': 'Basic' });
    };
    const host = await pullHost({ credentials: [login(front.host)] });
    const error = await rejection(host.pull(`${front.host}/app:1`));
    expect(error.message).toContain('you sent Basic [secret]');
  });

  it('follows no redirect to what is no web address, nor one in circles', async () => {
    const { front } = await gated();
    front.misbehave = (_request, response) => answer(response, 302, '', { location: '/v2/round' });
    expect((await rejection((await pullHost()).pull(`${front.host}/app:1`))).message).toContain('circles');
    front.misbehave = (_request, response) => answer(response, 302, '', { location: 'file:///etc/passwd' });
    expect((await rejection((await pullHost()).pull(`${front.host}/app:1`))).message).toContain('not safe');
  });
});
