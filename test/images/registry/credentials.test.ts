import { writeFile } from 'node:fs/promises';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

import { findCredential } from '../../../src/images/registry/credentials.js';
import type { CredentialSource } from '../../../src/images/registry/options.js';
import { temporaryDirectory } from '../../support/temporary-directory.js';
import { rejection, writeProgram } from '../support.js';

const { signal } = new AbortController();
const auth = (user: string, password: string): { auth: string } => ({
  auth: Buffer.from(`${user}:${password}`).toString('base64'),
});
const text = (value: unknown, name = 'DOCKER_AUTH_CONFIG'): CredentialSource => ({
  kind: 'text',
  name,
  text: JSON.stringify(value),
});
async function userOf(sources: readonly CredentialSource[], target: string): Promise<string | undefined> {
  const login = (await findCredential(sources, target, signal))?.login;
  return login?.kind === 'password' ? login.username : login?.token;
}

describe('credentials', () => {
  it('are those of the longest path', async () => {
    const source = text({
      auths: {
        'r.example': auth('host', 'x'),
        'r.example/group': auth('group', 'x'),
        'r.example/group/app': auth('app', 'x'),
      },
    });
    expect(await userOf([source], 'r.example/group/app')).toBe('app');
    expect(await userOf([source], 'r.example/group/app/deep')).toBe('app');
    expect(await userOf([source], 'r.example/group/apple')).toBe('group');
    expect(await userOf([source], 'r.example/other')).toBe('host');
    expect(await userOf([source], 'r.example.org/other')).toBeUndefined();
    expect(await userOf([source], 'r.example:5000/group')).toBeUndefined();
  });

  it('are those of the first source that knows a path', async () => {
    const sources: CredentialSource[] = [
      text({ auths: { 'r.example': auth('first', 'x') } }),
      text({ auths: { 'r.example': auth('second', 'x'), 'r.example/deep': auth('deep', 'x') } }),
      { kind: 'login', name: 'job', registry: 'https://other.example', username: 'job', password: 'x' },
    ];
    expect(await userOf(sources, 'r.example/a')).toBe('first');
    expect(await userOf(sources, 'r.example/deep/a')).toBe('deep');
    expect(await userOf(sources, 'other.example/a')).toBe('job');
  });

  it.each([
    'https://index.docker.io/v1/',
    'docker.io',
    'index.docker.io',
    'Registry-1.Docker.io',
    'http://docker.io/v2/',
  ])('of %s are those of Docker Hub', async (key) => {
    expect(await userOf([text({ auths: { [key]: auth('hub', 'x') } })], 'docker.io/library/node')).toBe('hub');
  });

  it('come in all forms that Docker writes', async () => {
    const source = text({
      auths: {
        'a.example': { username: 'plain', password: 'p' },
        'b.example': { ...auth('<token>', ''), identitytoken: 'refresh-me' },
        'c.example': auth('user', 'with:colon'),
        'd.example': {},
      },
    });
    expect(await findCredential([source], 'a.example/x', signal)).toEqual({
      source: 'DOCKER_AUTH_CONFIG',
      login: { kind: 'password', username: 'plain', password: 'p' },
    });
    expect((await findCredential([source], 'b.example/x', signal))?.login).toEqual({
      kind: 'identity-token',
      token: 'refresh-me',
    });
    expect((await findCredential([source], 'c.example/x', signal))?.login).toMatchObject({ password: 'with:colon' });
    expect(await findCredential([source], 'd.example/x', signal)).toBeUndefined();
  });

  it('come from an old .dockercfg, and from no file that is not there', async () => {
    const directory = await temporaryDirectory();
    const file = path.join(directory, '.dockercfg');
    await writeFile(file, JSON.stringify({ 'r.example': auth('old', 'x') }));
    const sources: CredentialSource[] = [
      { kind: 'file', path: path.join(directory, 'missing'), helpers: undefined },
      { kind: 'file', path: file, helpers: undefined },
    ];
    expect(await userOf(sources, 'r.example/a')).toBe('old');
  });

  it('that are no JSON are a mistake whose sentence repeats nothing', async () => {
    const error = await rejection(
      findCredential([{ kind: 'text', name: 'DOCKER_AUTH_CONFIG', text: 'secret-word' }], 'r.example/a', signal),
    );
    expect(error.code).toBe('invalid-input');
    expect(error.message).toContain('DOCKER_AUTH_CONFIG');
    expect(JSON.stringify([error.message, error.stack, error.cause])).not.toContain('secret-word');
  });
});

describe('a credential helper', () => {
  async function helperFile(value: unknown, source: string): Promise<CredentialSource> {
    const directory = await temporaryDirectory();
    await writeProgram(directory, 'docker-credential-mine', source);
    const file = path.join(directory, 'config.json');
    await writeFile(file, JSON.stringify(value));
    return { kind: 'file', path: file, helpers: { PATH: directory } };
  }
  const ANSWER = `
    let server = '';
    process.stdin.on('data', (data) => (server += data)).on('end', () => {
      if (server === 'none.example') { console.log('credentials not found in native keychain'); process.exit(1); }
      if (server === 'bad.example') { console.log('SECRET'); process.exit(3); }
      const isToken = server === 'token.example';
      console.log(JSON.stringify({ ServerURL: server, Username: isToken ? '<token>' : process.argv[2] + ' ' + server, Secret: 's' }));
    });`;

  it('is asked for the registries that are its own', async () => {
    const source = await helperFile(
      { auths: { 'r.example': auth('stored', 'x'), 'none.example': {} }, credHelpers: { 'r.example': 'mine' } },
      ANSWER,
    );
    expect(await userOf([source], 'r.example/a')).toBe('get r.example');
    expect(await userOf([source], 'other.example/a')).toBeUndefined();
  });

  it('that keeps everything is asked when no path is known', async () => {
    const source = await helperFile({ auths: { 'r.example': auth('stored', 'x') }, credsStore: 'mine' }, ANSWER);
    expect(await userOf([source], 'r.example/a')).toBe('stored');
    expect(await userOf([source], 'docker.io/library/node')).toBe('get https://index.docker.io/v1/');
    expect(await userOf([source], 'none.example/a')).toBeUndefined();
    expect((await findCredential([source], 'token.example/a', signal))?.login).toEqual({
      kind: 'identity-token',
      token: 's',
    });
  });

  it('that fails is named, and what it printed is not', async () => {
    const source = await helperFile({ credsStore: 'mine' }, ANSWER);
    const error = await rejection(findCredential([source], 'bad.example/a', signal));
    expect(error.code).toBe('host-tool-failed');
    expect(error.message).toContain('docker-credential-mine');
    expect(JSON.stringify([error.message, error.detail])).not.toContain('SECRET');
  });

  it('is not started for a text that strangers write', async () => {
    expect(await userOf([text({ credsStore: 'mine', credHelpers: { 'r.example': 'mine' } })], 'r.example/a')).toBe(
      undefined,
    );
  });

  it('has no path in its name', async () => {
    const source = await helperFile({ credsStore: '../evil' }, ANSWER);
    expect((await rejection(findCredential([source], 'r.example/a', signal))).code).toBe('invalid-input');
  });
});
