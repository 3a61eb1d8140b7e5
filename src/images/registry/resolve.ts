import { createHash } from 'node:crypto';

import { Deadline } from '../../core/deadline.js';
import { VmRunnerError } from '../../core/errors.js';
import type { Log } from '../../core/log.js';
import { isDigest } from '../digest.js';
import { canonicalName, type RegistryReference } from '../reference.js';
import { readBody } from './body.js';
import type { RegistryClient } from './client.js';
import { parseImageConfig } from './image-config.js';
import { parseManifest, type Descriptor, type Manifest } from './manifest.js';
import { ACCEPT_MANIFEST } from './media-type.js';
import { candidates, noPlatform, platformName, platformRank, platformsOf } from './platform.js';
import { withRetries, type RetryOptions } from './transient.js';

/** The manifest of one platform's image. */
export interface FoundManifest {
  readonly digest: string;
  /** What the reference led to first: `digest`, or that of an index. */
  readonly topDigest: string;
  readonly bytes: Uint8Array;
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
}

/** What a manifest's configuration adds to it. */
export interface ImageContent {
  readonly config: Uint8Array;
  /** In order; equal ones may come again. */
  readonly layers: readonly RemoteLayer[];
}

export interface RemoteLayer extends Descriptor {
  readonly diffId: string;
}

export interface ResolveOptions {
  readonly client: RegistryClient;
  readonly architecture: string;
  readonly log: Log;
  readonly signal: AbortSignal;
  readonly retry: RetryOptions;
}

interface Found<M extends Manifest = Manifest> {
  readonly digest: string;
  readonly bytes: Uint8Array;
  readonly manifest: M;
}

/** Of manifests and configurations, as registries themselves limit them. */
const MOST_BYTES = 4 * 2 ** 20;
const DEEPEST_INDEX = 4;
/** What one reference may make us read: indexes can branch without end. */
const MOST_MANIFESTS = 32;
/** A whole document, with retries apart. */
const DOCUMENT_MS = 120_000;

/**
 * Reads what a reference points to, down to the manifest of this platform.
 * @throws image-unavailable, image-invalid, registry-failed
 */
export async function findManifest(reference: RegistryReference, options: ResolveOptions): Promise<FoundManifest> {
  const subject = canonicalName(reference);
  const top = await readManifest(reference.digest ?? reference.tag ?? '', subject, options);
  const found = await descend(top, { depth: 0, subject, read: new Set([top.digest]) }, options);
  if ('missing' in found) throw noPlatform(options.architecture, found.missing, subject);
  const { digest, bytes, manifest } = found;
  return { digest, topDigest: top.digest, bytes, config: manifest.config, layers: manifest.layers };
}

/**
 * Reads the configuration of an image, and what its layers are unpacked.
 * @throws image-unavailable, image-invalid, registry-failed
 */
export async function readContent(
  manifest: FoundManifest,
  subject: string,
  options: ResolveOptions,
): Promise<ImageContent> {
  const config = await readConfig(manifest.config, subject, options);
  const { diffIds, platform } = parseImageConfig(config, subject);
  // An image without an index says only here what it runs on.
  if (platform !== undefined && platformRank({ ...platform, variant: undefined }, options.architecture) === undefined) {
    throw noPlatform(options.architecture, [platformName(platform)], subject);
  }
  const { layers } = manifest;
  if (layers.length !== diffIds.length) {
    const reason = `image has ${layers.length} layers, but its configuration tells of ${diffIds.length}`;
    throw new VmRunnerError('image-invalid', reason, { subject });
  }
  return { config, layers: layers.map((layer, at) => ({ ...layer, diffId: diffIds[at] ?? '' })) };
}

/**
 * The digest that a tag has now; costs a registry less than the manifest itself.
 * @returns `undefined` when the registry does not say it that way.
 */
export async function peekDigest(tag: string, options: ResolveOptions): Promise<string | undefined> {
  const { client, signal } = options;
  const headers = { accept: ACCEPT_MANIFEST };
  try {
    const response = await client.get({ kind: 'manifests', name: tag, method: 'HEAD', headers }, signal);
    response.discard();
    const digest = response.headers['docker-content-digest'];
    return isDigest(digest) ? digest : undefined;
  } catch (error) {
    if (signal.aborted) throw error;
    // Reading the manifest tells why, or works: not every registry takes this method.
    return undefined;
  }
}

interface Descent {
  readonly depth: number;
  readonly subject: string;
  /** Digests that were read so far, by all branches. */
  readonly read: Set<string>;
}

/** Goes down to the image of our platform, through indexes in indexes. */
async function descend(
  found: Found,
  descent: Descent,
  options: ResolveOptions,
): Promise<Found<Manifest & { kind: 'image' }> | { readonly missing: readonly string[] }> {
  const { manifest } = found;
  if (manifest.kind === 'image') return { ...found, manifest };
  const { depth, subject, read } = descent;
  if (depth === DEEPEST_INDEX) {
    throw new VmRunnerError('image-invalid', `more than ${DEEPEST_INDEX} indexes lie in each other`, { subject });
  }
  const missing = [...platformsOf(manifest.entries)];
  for (const { digest } of candidates(manifest.entries, options.architecture)) {
    if (read.has(digest)) continue;
    read.add(digest);
    if (read.size > MOST_MANIFESTS) {
      throw new VmRunnerError('image-invalid', `index leads to more than ${MOST_MANIFESTS} manifests`, { subject });
    }
    const entry = await readManifest(digest, subject, options);
    const inner = await descend(entry, { depth: depth + 1, subject, read }, options);
    if (!('missing' in inner)) return inner;
    missing.push(...inner.missing);
  }
  return { missing };
}

async function readManifest(name: string, subject: string, options: ResolveOptions): Promise<Found> {
  const { bytes, digest, contentType } = await readDocument('manifests', name, subject, options);
  return { bytes, digest, manifest: parseManifest(bytes, contentType, subject) };
}

async function readConfig(config: Descriptor, subject: string, options: ResolveOptions): Promise<Uint8Array> {
  if (config.size > MOST_BYTES) {
    throw new VmRunnerError('image-invalid', `configuration is larger than ${MOST_BYTES} bytes`, { subject });
  }
  return (await readDocument('blobs', config.digest, subject, options)).bytes;
}

/** A small document, compared with its digest when it is known by that. A mirror that gives another is left out. */
async function readDocument(
  kind: 'manifests' | 'blobs',
  name: string,
  subject: string,
  options: ResolveOptions,
): Promise<{ bytes: Uint8Array; digest: string; contentType: string }> {
  const headers = kind === 'manifests' ? { accept: ACCEPT_MANIFEST } : {};
  return withRetries(async () => {
    using deadline = new Deadline(DOCUMENT_MS, () => slow(subject), options.signal);
    const response = await options.client.get({ kind, name, headers }, deadline.signal);
    try {
      const bytes = await readBody(response, MOST_BYTES);
      const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
      const told = kind === 'manifests' ? response.headers['docker-content-digest'] : undefined;
      const expected = isDigest(name) ? name : isDigest(told) ? told : digest;
      if (digest === expected) return { bytes, digest, contentType: response.headers['content-type'] ?? '' };
      const hint = `Expected ${expected}, got ${digest}.`;
      throw new VmRunnerError('registry-failed', 'registry gave content that has another digest', { subject, hint });
    } catch (error) {
      throw deadline.signal.aborted ? error : options.client.afterAnswer(response.source, error);
    }
  }, options);
}

function slow(subject: string): VmRunnerError {
  return new VmRunnerError('registry-failed', `description of the image did not come within ${DOCUMENT_MS / 1000} s`, {
    subject,
    hint: 'Check the network, and that the registry is up.',
  });
}
