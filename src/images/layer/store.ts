import { readFile, rm } from 'node:fs/promises';
import path from 'node:path';

import { VmRunnerError } from '../../core/errors.js';
import type { Log } from '../../core/log.js';
import type { ProcessTable } from '../../core/process-identity.js';
import { acquireLock } from '../../store/lock.js';
import type { StorePaths } from '../../store/paths.js';
import { discardTemporary, makeTemporaryDirectory } from '../../store/temporary.js';
import { digestHex } from '../digest.js';
import { fileStep } from '../file-step.js';
import { isThere } from '../finished.js';
import { moveIntoPlace } from '../into-place.js';
import { decodeIndex, type LayerIndex } from './index-file.js';
import { LAYER_FILES } from './files.js';
import { convertLayer } from './pass.js';
import type { LayerSource } from './source.js';

export interface LayerContext {
  readonly log: Log;
  readonly signal: AbortSignal;
}

/** The layers of this host, each in a directory of its own that is whole or not there. */
export class LayerStore {
  readonly #store: StorePaths;
  readonly #processes: ProcessTable;

  constructor(options: { readonly store: StorePaths; readonly processes: ProcessTable }) {
    this.#store = options.store;
    this.#processes = options.processes;
  }

  /** @param diffId digest of the layer's tar: `sha256:…` */
  directory(diffId: string): string {
    return path.join(this.#store.layers, digestHex(diffId));
  }

  /** The bytes of the layer's files. */
  dataFile(diffId: string): string {
    return path.join(this.directory(diffId), LAYER_FILES.data);
  }

  has(diffId: string): Promise<boolean> {
    return isThere(path.join(this.directory(diffId), LAYER_FILES.index));
  }

  /**
   * Converts a layer, unless it is here: once, however many ask at the same time.
   * @throws image-invalid when it is none, or has another digest; disk-full. Nothing is left of it then.
   */
  async add(source: LayerSource, diffId: string, context: LayerContext): Promise<void> {
    if (await this.has(diffId)) return;
    await this.#locked(diffId, context, async () => {
      if (await this.has(diffId)) return;
      await this.#convert(source, context, diffId);
    });
  }

  /** Converts a layer whose digest nobody has told. @returns the digest */
  import(source: LayerSource, context: LayerContext): Promise<string> {
    return this.#convert(source, context, undefined);
  }

  /** @throws store-damaged when it cannot be understood. */
  async index(diffId: string): Promise<LayerIndex> {
    const file = path.join(this.directory(diffId), LAYER_FILES.index);
    return decodeIndex(await fileStep('read a layer', file, readFile(file)), file);
  }

  /** Removes a layer. One that is not here is no error. */
  async remove(diffId: string, signal?: AbortSignal): Promise<void> {
    await this.#locked(diffId, { signal }, async () => {
      const directory = this.directory(diffId);
      // Without its index it is no layer any more, whatever happens then.
      await fileStep('remove a layer', directory, rm(path.join(directory, LAYER_FILES.index), { force: true }));
      await fileStep('remove a layer', directory, rm(directory, { recursive: true, force: true }));
    });
  }

  async #convert(source: LayerSource, context: LayerContext, expected: string | undefined): Promise<string> {
    const temporary = await makeTemporaryDirectory(this.#store, this.#processes);
    try {
      const diffId = await convertLayer(source, temporary, context.signal);
      if (expected === undefined) {
        await this.#locked(diffId, context, () => this.#intoPlace(temporary, diffId));
      } else {
        if (diffId !== expected) throw otherLayer(source, diffId, expected);
        await this.#intoPlace(temporary, diffId);
      }
      return diffId;
    } finally {
      await discardTemporary(temporary);
    }
  }

  async #intoPlace(temporary: string, diffId: string): Promise<void> {
    if (await this.has(diffId)) return;
    await moveIntoPlace(temporary, this.directory(diffId));
  }

  async #locked(
    diffId: string,
    { log, signal }: { readonly log?: Log; readonly signal: AbortSignal | undefined },
    work: () => Promise<void>,
  ): Promise<void> {
    const lock = await acquireLock(path.join(this.#store.locks, `layer-${digestHex(diffId)}`), {
      processes: this.#processes,
      signal,
      onWait: (holder) => log?.info(`waiting for process ${holder.pid}, which is converting the same layer`),
    });
    try {
      await work();
    } finally {
      await lock.release();
    }
  }
}

function otherLayer(source: LayerSource, found: string, expected: string): VmRunnerError {
  return new VmRunnerError('image-invalid', `layer is another one than the image's configuration says`, {
    ...('file' in source ? { subject: source.file } : {}),
    hint: `It should be ${expected} and is ${found}: the image was made wrong. Build or fetch it again.`,
  });
}
