import { open } from 'node:fs/promises';

import { fileError, systemCode, VmRunnerError } from '../../core/errors.js';
import { DOCKER_HUB, parseRegistryHost } from '../reference.js';
import type { Credential } from './credential.js';
import { askHelper } from './credential-helper.js';
import type { CredentialHelpers, CredentialSource } from './options.js';

/** One line of a source: how to get at the credential of everything below a path. */
interface Entry {
  /** `docker.io/library`, `registry.example/group`. */
  readonly path: string;
  readonly get: (signal: AbortSignal) => Promise<Credential | undefined>;
}

interface Book {
  readonly entries: readonly Entry[];
  /** Helper for all paths that have no entry. */
  readonly fallback: ((host: string, signal: AbortSignal) => Promise<Credential | undefined>) | undefined;
}

const MOST_FILE_BYTES = 2 ** 20;

/**
 * The credential for a repository: of all paths that lead to it the longest wins, and of two sources that know the same path
 * the first.
 * @param path `registry/repository`
 * @throws invalid-input when a source cannot be understood, host-tool-failed when a helper fails.
 */
export async function findCredential(
  sources: readonly CredentialSource[],
  path: string,
  signal: AbortSignal,
): Promise<Credential | undefined> {
  const books: Book[] = [];
  for (const source of sources) books.push(await readSource(source));
  const entries = books.flatMap((book) => book.entries).filter((entry) => `${path}/`.startsWith(`${entry.path}/`));
  const longest = Math.max(...entries.map((entry) => entry.path.length));
  for (const entry of entries.filter(({ path: { length } }) => length === longest)) {
    const credential = await entry.get(signal);
    if (credential !== undefined) return credential;
  }
  const host = path.slice(0, path.indexOf('/'));
  for (const { fallback } of books) {
    const credential = await fallback?.(host, signal);
    if (credential !== undefined) return credential;
  }
  return undefined;
}

async function readSource(source: CredentialSource): Promise<Book> {
  switch (source.kind) {
    case 'login': {
      const { name, username, password } = source;
      const credential: Credential = { source: name, login: { kind: 'password', username, password } };
      return {
        entries: [{ path: pathOf(source.registry), get: () => Promise.resolve(credential) }],
        fallback: undefined,
      };
    }
    case 'text':
      return parseBook(source.text, source.name, undefined);
    case 'file': {
      const text = await readBounded(source.path);
      return text === undefined ? { entries: [], fallback: undefined } : parseBook(text, source.path, source.helpers);
    }
  }
}

async function readBounded(path: string): Promise<string | undefined> {
  try {
    const file = await open(path, 'r');
    try {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(MOST_FILE_BYTES), 0, MOST_FILE_BYTES, 0);
      return buffer.toString('utf8', 0, bytesRead);
    } finally {
      await file.close();
    }
  } catch (cause) {
    if (systemCode(cause) === 'ENOENT' || systemCode(cause) === 'ENOTDIR') return undefined;
    throw fileError('read credentials', path, cause);
  }
}

function parseBook(text: string, name: string, helpers: CredentialHelpers | undefined): Book {
  if (text.trim() === '') return { entries: [], fallback: undefined };
  const value = parseJson(text, name);
  // A `.dockercfg` has no `auths` around its entries.
  const isOld = value['auths'] === undefined && value['credHelpers'] === undefined && value['credsStore'] === undefined;
  const auths = Object.entries(isOld ? objectsOf(value) : objectOf(value['auths']));
  const stored = auths.flatMap(([key, auth]) => {
    const login = readLogin(objectOf(auth));
    return login === undefined ? [] : [{ path: pathOf(key), get: () => Promise.resolve({ source: name, login }) }];
  });
  if (helpers === undefined) return { entries: stored, fallback: undefined };
  const ask = (helper: unknown, server: string, signal: AbortSignal): Promise<Credential | undefined> =>
    typeof helper === 'string' ? askHelper(helper, server, { env: helpers, signal }) : Promise.resolve(undefined);
  const helped = Object.entries(objectOf(value['credHelpers'])).map(([key, helper]) => ({
    path: pathOf(key),
    get: (signal: AbortSignal) => ask(helper, key, signal),
  }));
  const store = value['credsStore'];
  return {
    // A path with a helper of its own is that helper's.
    entries: [...helped, ...stored],
    fallback: (host, signal) => ask(store, host === DOCKER_HUB ? 'https://index.docker.io/v1/' : host, signal),
  };
}

function parseJson(text: string, name: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  } catch {
    // Not as the cause: the parser's sentence quotes what it read.
  }
  throw new VmRunnerError('invalid-input', 'credentials are no JSON object', {
    subject: name,
    hint: 'Expected what docker login writes: {"auths": {"REGISTRY": {"auth": "…"}}}.',
  });
}

function readLogin(auth: Readonly<Record<string, unknown>>): Credential['login'] | undefined {
  const text = (key: string): string => (typeof auth[key] === 'string' ? auth[key] : '');
  const token = text('identitytoken');
  if (token !== '') return { kind: 'identity-token', token };
  const [, username = text('username'), password = text('password')] =
    /^([^:]*):(.*)$/s.exec(Buffer.from(text('auth'), 'base64').toString('utf8').replace(/\0+$/, '')) ?? [];
  return username === '' || password === '' ? undefined : { kind: 'password', username, password };
}

/** `https://index.docker.io/v1/` and all other ways to write a path of a registry, as the one that references have. */
function pathOf(key: string): string {
  const bare = key.trim().replace(/^https?:\/\//i, '');
  const [first = '', ...others] = bare.replace(/\/(v1|v2)?\/*$/, '').split('/');
  return [parseRegistryHost(first) ?? first, ...others].join('/');
}

function objectOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}

function objectsOf(value: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  return Object.fromEntries(Object.entries(value).filter(([, entry]) => typeof entry === 'object'));
}
