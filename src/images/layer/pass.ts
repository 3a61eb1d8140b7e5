import { createHash } from 'node:crypto';
import path from 'node:path';
import { crc32 } from 'node:zlib';

import { abortReason } from '../../core/deadline.js';
import { VmRunnerError } from '../../core/errors.js';
import { writeWhole } from '../../store/whole-file.js';
import { decompressed } from './compression.js';
import { DataFile } from './data-file.js';
import type { LayerEntry } from './entry.js';
import { LAYER_FILES } from './files.js';
import { encodeIndex } from './index-file.js';
import { LAYER_LIMITS, layerError, type LayerLimits } from './limits.js';
import { readSource, type LayerSource } from './source.js';
import { writeSums } from './sums.js';
import { TarParser } from './tar-parser.js';

/**
 * Turns a layer into its data and its index, in one pass over its bytes and with bounded memory but for the index. Nothing
 * is made on this host by a name of the layer, so there is nothing that its names could reach.
 *
 * @param directory an empty one; the caller removes it when this fails
 * @returns the digest of the tar, which names the layer
 * @throws image-invalid for what is no layer, or one with another digest; disk-full.
 */
export async function convertLayer(
  source: LayerSource,
  directory: string,
  signal: AbortSignal,
  limits: LayerLimits = LAYER_LIMITS,
): Promise<string> {
  const entries: LayerEntry[] = [];
  const data = await DataFile.create(path.join(directory, LAYER_FILES.data));
  const parser = new TarParser(
    {
      beginFile: (size) => (size === 0 ? 0 : data.align()),
      data: (bytes) => data.append(bytes),
      entry: (entry) => void entries.push(entry),
    },
    limits,
  );
  const compressed = new Counted();
  const raw = new Counted();
  try {
    for await (const piece of decompressed(compressed.through(readSource(source, signal)))) {
      if (signal.aborted) throw abortReason(signal);
      raw.add(piece);
      checkSize(raw.bytes, compressed.bytes, limits);
      parser.push(piece);
      await data.drain();
    }
    if ('digest' in source) checkDigest(source, compressed.digest());
    parser.end();
    const dataBytes = await data.finish();
    const index = encodeIndex({ rawBytes: raw.bytes, dataBytes, entries });
    await writeSums(directory, { data: data.checksum, index: crc32(index) });
    await writeWhole(path.join(directory, LAYER_FILES.index), index, 0o444);
    return raw.digest();
  } finally {
    await data.close();
  }
}

/** Bytes that went by, and what they hash to. */
class Counted {
  bytes = 0;
  readonly #hash = createHash('sha256');

  add(piece: Buffer): void {
    this.bytes += piece.length;
    this.#hash.update(piece);
  }

  async *through(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const piece of source) {
      this.add(piece);
      yield piece;
    }
  }

  digest(): string {
    return `sha256:${this.#hash.digest('hex')}`;
  }
}

function checkSize(rawBytes: number, compressedBytes: number, limits: LayerLimits): void {
  if (rawBytes > limits.rawBytes) throw layerError(`layer of more than ${limits.rawBytes} bytes`);
  if (rawBytes > limits.freeBytes && rawBytes > compressedBytes * limits.ratio) {
    throw layerError(`layer that grows more than ${limits.ratio} times when it is decompressed`);
  }
}

function checkDigest(source: { readonly file: string; readonly digest?: string }, found: string): void {
  if (source.digest === undefined || source.digest === found) return;
  throw new VmRunnerError('image-invalid', `layer does not have the digest ${source.digest}`, {
    subject: source.file,
    hint: `It has ${found}: it was damaged on its way, or changed. Fetch the image again.`,
  });
}
