import { open } from 'node:fs/promises';

import { fileError, VmRunnerError } from '../../core/errors.js';
import type { LayerEntry } from './entry.js';
import { BLOCK_BYTES } from './limits.js';

/** Single files of a layer, read on the host. */
export class LayerFiles {
  readonly #dataFile: string;
  readonly #byPath: ReadonlyMap<string, LayerEntry>;

  constructor(dataFile: string, entries: readonly LayerEntry[]) {
    this.#dataFile = dataFile;
    this.#byPath = new Map(entries.map((entry) => [entry.path, entry]));
  }

  /** Paths of all entries that begin so. */
  pathsBelow(prefix: string): string[] {
    return [...this.#byPath.keys()].filter((path) => path.startsWith(prefix));
  }

  /**
   * @param path as in the layer: links are not followed
   * @throws image-build-failed when there is no such file, or it is larger than expected.
   */
  async read(path: string, mostBytes: number): Promise<Buffer> {
    const entry = this.#byPath.get(path);
    if (entry?.kind !== 'file' || entry.size > mostBytes) {
      throw new VmRunnerError('image-build-failed', 'a file is missing in the layer, or larger than it may be', {
        subject: path,
      });
    }
    try {
      const handle = await open(this.#dataFile, 'r');
      try {
        const { bytesRead, buffer } = await handle.read({
          buffer: Buffer.alloc(entry.size),
          position: entry.block * BLOCK_BYTES,
        });
        if (bytesRead === entry.size) return buffer;
      } finally {
        await handle.close();
      }
    } catch (cause) {
      throw fileError('read a layer', this.#dataFile, cause);
    }
    throw new VmRunnerError('store-damaged', 'data of a layer is shorter than its index says', {
      subject: this.#dataFile,
    });
  }
}
