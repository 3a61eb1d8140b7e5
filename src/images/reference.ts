import { isIPv6 } from 'node:net';

import { VmRunnerError } from '../core/errors.js';
import { DEFAULT_IMAGE } from '../core/job.js';
import { isDigest } from './digest.js';

/** An image in a container registry. */
export interface RegistryReference {
  readonly kind: 'registry';
  /** Host in lower case, with its port if it is not the usual one: `docker.io`, `localhost:5000`, `[::1]:5000`. */
  readonly registry: string;
  /** `library/node`. */
  readonly repository: string;
  /** `latest` when neither tag nor digest was given. */
  readonly tag: string | undefined;
  /** `sha256:…` of a manifest or an index; decides when there is a tag, too. */
  readonly digest: string | undefined;
}

/** What somebody means by the name of an image. */
export type Reference =
  | { readonly kind: 'default' }
  | RegistryReference
  /** A directory in OCI's image layout; `tag` chooses one of several images in it. */
  | { readonly kind: 'oci'; readonly path: string; readonly tag: string | undefined }
  /** What `docker save` writes. */
  | { readonly kind: 'docker-archive'; readonly path: string }
  /** A tar file of a whole root directory. */
  | { readonly kind: 'rootfs'; readonly path: string }
  /** An image prepared on this host. */
  | { readonly kind: 'name'; readonly name: string };

export const DOCKER_HUB = 'docker.io';
const LOCAL_PREFIX = 'local/';
const DEFAULT_TAG = 'latest';
/** Of registry and repository together, as the distribution specification has it. */
const MOST_NAME_CHARACTERS = 255;
const MOST_LOCAL_CHARACTERS = 128;

const PATH_COMPONENT = /^[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*$/;
const HOST_COMPONENT = /^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$/;
const TAG = /^\w[\w.-]{0,127}$/;

const FORMS =
  'Give a name such as node:22, ghcr.io/owner/name@sha256:…, oci:DIRECTORY, docker-archive:FILE, rootfs:FILE, local/NAME or default.';

/**
 * Reads the name of an image. Docker's rules hold: `node:22` is `docker.io/library/node:22`, and what comes before the first
 * slash is a registry when it has a dot or a colon or is `localhost`.
 * @throws invalid-input with what was expected.
 */
export function parseReference(text: string): Reference {
  if (text === '') throw mistake('name of an image is empty', text, FORMS);
  if (text === DEFAULT_IMAGE) return { kind: 'default' };
  if (/\p{Cc}/u.test(text)) throw mistake('name of an image has a control character in it', text, FORMS);
  const [, scheme, rest = ''] = /^(oci|docker-archive|rootfs):(.*)$/.exec(text) ?? [];
  if (scheme === 'oci') return parseLayout(text, rest);
  if (scheme === 'docker-archive' || scheme === 'rootfs') return { kind: scheme, path: pathOf(text, rest) };
  if (/\s/.test(text)) throw mistake('name of an image has a space in it', text, FORMS);
  if (text.includes('://')) {
    throw mistake('name of an image begins like a web address', text, 'Leave out what is before and with "://".');
  }
  return text.startsWith(LOCAL_PREFIX) ? parseName(text) : parseRegistryReference(text);
}

/** The one way to write a reference, whichever way it came in. */
export function canonicalName(reference: Reference): string {
  switch (reference.kind) {
    case 'default':
      return DEFAULT_IMAGE;
    case 'registry': {
      const { registry, repository, tag, digest } = reference;
      return `${registry}/${repository}${tag === undefined ? '' : `:${tag}`}${digest === undefined ? '' : `@${digest}`}`;
    }
    case 'oci':
      return `oci:${reference.path}${reference.tag === undefined ? '' : `:${reference.tag}`}`;
    case 'docker-archive':
    case 'rootfs':
      return `${reference.kind}:${reference.path}`;
    case 'name':
      return `${LOCAL_PREFIX}${reference.name}`;
  }
}

/** A registry's host in the form that {@link RegistryReference} has it; `undefined` when the text is none. */
export function parseRegistryHost(text: string): string | undefined {
  const [, host = '', port] = /^(\[[^\]]*\]|[^:]*)(?::(\d{1,5}))?$/.exec(text.toLowerCase()) ?? [];
  if (port !== undefined && (Number(port) < 1 || Number(port) > 65_535)) return undefined;
  const isAddress = host.startsWith('[') && isIPv6(host.slice(1, -1));
  if (!isAddress && !host.split('.').every((component) => HOST_COMPONENT.test(component))) return undefined;
  const name = host === 'index.docker.io' || host === 'registry-1.docker.io' ? DOCKER_HUB : host;
  return port === undefined ? name : `${name}:${port}`;
}

function parseRegistryReference(text: string): RegistryReference {
  const at = text.indexOf('@');
  const digest = at < 0 ? undefined : parseDigest(text, text.slice(at + 1));
  const { name, tag } = splitTag(text, at < 0 ? text : text.slice(0, at));
  const slash = name.indexOf('/');
  const first = slash < 0 ? '' : name.slice(0, slash);
  const hasHost = first.startsWith('[') || /[.:]/.test(first) || first.toLowerCase() === 'localhost';
  const registry = hasHost ? parseRegistryHost(first) : DOCKER_HUB;
  if (registry === undefined) {
    const hint = 'Expected a host name or address, with :PORT if need be, before the first slash.';
    throw mistake('not the host of a registry', text, hint);
  }
  const path = hasHost ? name.slice(slash + 1) : name;
  const repository = registry === DOCKER_HUB && !path.includes('/') ? `library/${path}` : path;
  checkRepository(text, path);
  if (`${registry}/${repository}`.length > MOST_NAME_CHARACTERS) {
    throw mistake(
      'name of an image is too long',
      text,
      `At most ${MOST_NAME_CHARACTERS} characters before tag and digest.`,
    );
  }
  return {
    kind: 'registry',
    registry,
    repository,
    tag: tag ?? (digest === undefined ? DEFAULT_TAG : undefined),
    digest,
  };
}

/** The last colon begins a tag, unless a slash follows: then it was a port's. */
function splitTag(text: string, name: string): { name: string; tag: string | undefined } {
  const colon = name.lastIndexOf(':');
  if (colon < 0 || name.indexOf('/', colon) >= 0) return { name, tag: undefined };
  const tag = name.slice(colon + 1);
  if (!TAG.test(tag)) {
    const hint = 'A tag has 1 to 128 letters, digits, dots, dashes and underscores, and begins with no dot or dash.';
    throw mistake('not a tag of an image', text, hint);
  }
  return { name: name.slice(0, colon), tag };
}

function parseDigest(text: string, digest: string): string {
  if (isDigest(digest)) return digest;
  const algorithm = /^([a-z0-9+._-]+):/i.exec(digest)?.[1];
  const reason =
    algorithm === undefined || algorithm === 'sha256'
      ? 'not a digest'
      : `digests of the kind ${algorithm} are not supported`;
  throw mistake(reason, text, 'Expected sha256: and 64 digits 0-9 a-f in lower case after the @.');
}

function checkRepository(text: string, repository: string): void {
  if (/[A-Z]/.test(repository)) throw mistake('name of an image has capital letters', text, 'Write it in lower case.');
  if (!repository.split('/').every((component) => PATH_COMPONENT.test(component))) {
    const hint =
      'Between slashes expected: lower-case letters and digits, with single dots, underscores or dashes inside.';
    throw mistake('not the name of an image', text, `${hint} ${FORMS}`);
  }
  if (/^[0-9a-f]{64}$/.test(repository)) {
    throw mistake('an image is not named by a bare digest', text, 'Expected NAME@sha256:DIGEST.');
  }
}

function parseName(text: string): Reference {
  const name = text.slice(LOCAL_PREFIX.length);
  if (PATH_COMPONENT.test(name) && name.length <= MOST_LOCAL_CHARACTERS) return { kind: 'name', name };
  throw mistake(
    'not the name of a prepared image',
    text,
    `Expected local/ and up to ${MOST_LOCAL_CHARACTERS} lower-case letters and digits, with single dots, underscores or dashes inside.` +
      ' An image local/… of Docker Hub is docker.io/local/….',
  );
}

function parseLayout(text: string, rest: string): Reference {
  const [, path = rest, tag] = /^(.+):(\w[\w.-]{0,127})$/.exec(rest) ?? [];
  return { kind: 'oci', path: pathOf(text, path), tag };
}

function pathOf(text: string, path: string): string {
  if (path === '') throw mistake('no path after the colon', text, FORMS);
  return path;
}

function mistake(reason: string, text: string, hint: string): VmRunnerError {
  return new VmRunnerError('invalid-input', reason, { subject: JSON.stringify(text), hint });
}
