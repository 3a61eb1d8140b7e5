import { createHash } from 'node:crypto';
import { access, readFile, writeFile } from 'node:fs/promises';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { gunzipSync } from 'node:zlib';

import type { ImageParts, LayerSink } from '../../src/images/layer-sink.js';
import { parseReference, type RegistryReference } from '../../src/images/reference.js';
import { pullImage, type PullContext, type PulledImage } from '../../src/images/pull.js';
import type { Patience } from '../../src/images/registry/client.js';
import { registryOptions, type RegistrySettings } from '../../src/images/registry/options.js';
import { recordingLog, temporaryStore } from './support.js';

/** Enough for a loopback registry, and soon over when something fails. */
export const IMPATIENT: Patience = {
  timeouts: { connect: 5000, firstByte: 5000, stall: 5000 },
  retry: { retries: 3, pauseMs: 5 },
};

/** Layers as unpacked files: compares what a real layer store compares. */
export class LayerFiles implements LayerSink {
  constructor(readonly directory: string) {}

  async has(diffId: string): Promise<boolean> {
    try {
      await access(this.#file(diffId));
      return true;
    } catch {
      return false;
    }
  }

  async add(source: { readonly file: string }, diffId: string): Promise<void> {
    const bytes = gunzipSync(await readFile(source.file));
    const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
    if (digest !== diffId) throw new Error(`layer is ${digest}, not ${diffId}`);
    await writeFile(this.#file(diffId), bytes);
  }

  read(diffId: string): Promise<Buffer> {
    return readFile(this.#file(diffId));
  }

  #file(diffId: string): string {
    return path.join(this.directory, diffId.replace(':', '-'));
  }
}

export function registryReference(text: string): RegistryReference {
  const reference = parseReference(text);
  if (reference.kind !== 'registry') throw new Error(`${text} is in no registry`);
  return reference;
}

/** A store to pull into. */
export async function pullHost(settings: RegistrySettings = {}) {
  const { store, processes } = await temporaryStore();
  const layers = new LayerFiles(path.join(store.paths.home, 'test-layers'));
  await mkdir(layers.directory);
  const assembled = new Map<string, ImageParts>();
  const log = recordingLog();
  const pull = (text: string, more: Partial<PullContext> = {}): Promise<PulledImage> =>
    pullImage(registryReference(text), {
      store: store.paths,
      processes,
      registries: registryOptions(settings),
      architecture: 'amd64',
      layers,
      assemble: (parts) => Promise.resolve(assembled.set(parts.digest, parts)),
      isAssembled: (digest) => Promise.resolve(assembled.has(digest)),
      log,
      signal: new AbortController().signal,
      patience: IMPATIENT,
      ...more,
    });
  return { store, processes, layers, assembled, log, pull };
}
