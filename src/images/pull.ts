import { rm } from 'node:fs/promises';

import { abortReason } from '../core/deadline.js';
import { VmRunnerError } from '../core/errors.js';
import type { Log } from '../core/log.js';
import type { ProcessTable } from '../core/process-identity.js';
import { acquireLock } from '../store/lock.js';
import type { StorePaths } from '../store/paths.js';
import type { ImageParts, LayerSink } from './layer-sink.js';
import { PullProgress } from './pull-progress.js';
import { canonicalName, type RegistryReference } from './reference.js';
import { DEFAULT_PATIENCE, RegistryClient, type Patience } from './registry/client.js';
import { downloadBlob } from './registry/download.js';
import { downloadPaths } from './registry/download-paths.js';
import type { RegistryOptions } from './registry/options.js';
import { findManifest, peekDigest, readContent, type RemoteLayer } from './registry/resolve.js';
import { Slots } from './registry/slots.js';
import { together } from './registry/together.js';

export interface PullContext {
  readonly store: StorePaths;
  readonly processes: ProcessTable;
  readonly registries: RegistryOptions;
  /** In the words of registries: `amd64`, `arm64`. */
  readonly architecture: string;
  readonly layers: LayerSink;
  readonly assemble: (parts: ImageParts) => Promise<unknown>;
  /** Whether the image of this manifest is assembled here already. */
  readonly isAssembled: (digest: string) => Promise<boolean>;
  /** What an earlier pull of the same reference returned. */
  readonly previous?: PulledImage | undefined;
  readonly log: Log;
  readonly signal: AbortSignal;
  readonly patience?: Patience;
}

/** What the reference means from now on: to be remembered with its name. */
export interface PulledImage {
  /** Of the manifest of this host's platform: names the assembled image. */
  readonly digest: string;
  /** What the registry's tag points to, `digest` or an index: pins the image on all platforms. */
  readonly pinned: string;
}

type Pull = PullContext & {
  readonly name: string;
  readonly client: RegistryClient;
  readonly patience: Patience;
};

const CONNECTIONS = 8;
/** Downloads leave one core free at least; two conversions keep a disk busy. */
const CONVERSIONS = 2;

/**
 * Brings an image from its registry: what is here already is not fetched again, and what an earlier process left unfinished
 * is gone on with. A reference with a digest that is here costs no request, a tag that points to what is here one.
 * @throws image-unavailable, image-invalid, registry-failed, disk-full
 */
export async function pullImage(reference: RegistryReference, context: PullContext): Promise<PulledImage> {
  const here = await findPinned(reference, context);
  if (here !== undefined) return here;
  const patience = context.patience ?? DEFAULT_PATIENCE;
  const client = new RegistryClient(reference, context.registries, { log: context.log, patience });
  try {
    return await pull(reference, { ...context, name: canonicalName(reference), client, patience });
  } catch (error) {
    throw context.signal.aborted ? abortReason(context.signal) : error;
  } finally {
    client.close();
  }
}

/** The error of somebody who may not pull what is not here. */
export function notHere(reference: RegistryReference): VmRunnerError {
  return new VmRunnerError('image-unavailable', 'image is not on this host, and must not be pulled', {
    subject: canonicalName(reference),
    hint: 'Pull it before, or allow it with the pull policy if-not-present or always.',
  });
}

async function findPinned(reference: RegistryReference, context: PullContext): Promise<PulledImage | undefined> {
  const { digest } = reference;
  if (digest === undefined) return undefined;
  if (await context.isAssembled(digest)) return { digest, pinned: digest };
  const { previous } = context;
  return previous?.pinned === digest && (await context.isAssembled(previous.digest)) ? previous : undefined;
}

async function pull(reference: RegistryReference, context: Pull): Promise<PulledImage> {
  const { name, log, isAssembled, previous } = context;
  const options = { ...context, retry: context.patience.retry };
  if (previous !== undefined && reference.digest === undefined && (await isAssembled(previous.digest))) {
    if ((await peekDigest(reference.tag ?? '', options)) === previous.pinned) return previous;
  }
  const manifest = await findManifest(reference, options);
  const pulled: PulledImage = { digest: manifest.digest, pinned: manifest.topDigest };
  if (await isAssembled(manifest.digest)) return pulled;
  const { config, layers } = await readContent(manifest, name, options);
  const summary = await fetchLayers(layers, context);
  await context.assemble({
    digest: manifest.digest,
    manifest: manifest.bytes,
    config,
    diffIds: layers.map((layer) => layer.diffId),
  });
  log.info(`pulled ${canonicalName({ ...reference, digest: manifest.topDigest })} (${summary})`);
  return pulled;
}

/** Layers come side by side, and one that is whole is converted while others still come. */
async function fetchLayers(layers: readonly RemoteLayer[], context: Pull): Promise<string> {
  const progress = new PullProgress(context.log, context.name);
  const connections = new Slots(CONNECTIONS);
  const conversions = new Slots(CONVERSIONS);
  const missing: RemoteLayer[] = [];
  for (const layer of distinct(layers, context.name)) {
    if (await context.layers.has(layer.diffId)) continue;
    missing.push(layer);
    progress.expect(layer.size);
  }
  await together(
    missing.map((layer) => (signal) => fetchLayer(layer, { ...context, signal, progress, connections, conversions })),
    context.signal,
  );
  const count = `${missing.length} of ${layers.length} layers`;
  return missing.length === 0 ? count : `${count}, ${progress.summary()}`;
}

type LayerFetch = Pull & {
  readonly progress: PullProgress;
  readonly connections: Slots;
  readonly conversions: Slots;
};

async function fetchLayer(layer: RemoteLayer, context: LayerFetch): Promise<void> {
  const { layers, log, name, signal, progress, connections: slots } = context;
  const { file, lock: lockFile } = downloadPaths(context.store, layer.digest);
  const lock = await acquireLock(lockFile, {
    processes: context.processes,
    signal,
    onWait: (holder) => log.info(`waiting for process ${holder.pid}, which is pulling a layer of ${name}`),
  });
  try {
    // Whoever had the lock may have brought it.
    if (await layers.has(layer.diffId)) {
      progress.resume(layer.size);
      return;
    }
    await downloadBlob(layer, file, {
      ...context,
      retry: context.patience.retry,
      slots,
      subject: name,
      onResume: (bytes) => progress.resume(bytes),
      onBytes: (bytes) => progress.add(bytes),
    });
    await context.conversions.run(signal, () => layers.add({ file }, layer.diffId, { signal, log }));
    await rm(file, { force: true });
  } finally {
    await lock.release();
  }
}

/** Each content once, however often the image has it. */
function distinct(layers: readonly RemoteLayer[], subject: string): readonly RemoteLayer[] {
  const byDigest = new Map<string, RemoteLayer>();
  for (const layer of layers) {
    const other = byDigest.get(layer.digest);
    if (other !== undefined && (other.diffId !== layer.diffId || other.size !== layer.size)) {
      throw new VmRunnerError('image-invalid', 'image says two things about one layer', {
        subject,
        hint: `It is ${layer.digest}.`,
      });
    }
    byDigest.set(layer.digest, layer);
  }
  return [...byDigest.values()];
}
