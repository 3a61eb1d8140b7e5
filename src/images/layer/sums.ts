import { createReadStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { crc32 } from 'node:zlib';

import { fileError, systemCode } from '../../core/errors.js';
import { writeWhole } from '../../store/whole-file.js';
import { LAYER_FILES } from './files.js';

/** CRC-32 of the files of a layer: they tell damage. A layer's own digest is of its tar, which is not kept. */
export interface LayerSums {
  readonly data: number;
  readonly index: number;
}

export async function writeSums(directory: string, sums: LayerSums): Promise<void> {
  await writeWhole(path.join(directory, LAYER_FILES.sums), `${JSON.stringify({ version: 1, ...sums })}\n`, 0o444);
}

/** @returns what is wrong with the layer in that directory; `undefined` when nothing is, or nobody wrote down its sums. */
export async function damageOf(directory: string, signal: AbortSignal): Promise<string | undefined> {
  const sums = await readSums(directory);
  if (sums === undefined) return undefined;
  for (const name of ['data', 'index'] as const) {
    const file = path.join(directory, LAYER_FILES[name]);
    if ((await checksum(file, signal)) !== sums[name]) return `${file} is not what was written there`;
  }
  return undefined;
}

async function readSums(directory: string): Promise<LayerSums | undefined> {
  const file = path.join(directory, LAYER_FILES.sums);
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (cause) {
    // Made before there were sums.
    if (systemCode(cause) === 'ENOENT') return undefined;
    throw fileError('read a layer', file, cause);
  }
  try {
    const { data, index } = JSON.parse(text) as Partial<LayerSums>;
    if (typeof data === 'number' && typeof index === 'number') return { data, index };
  } catch {
    // As one with other sums.
  }
  return { data: -1, index: -1 };
}

async function checksum(file: string, signal: AbortSignal): Promise<number> {
  try {
    let sum = 0;
    for await (const bytes of createReadStream(file, { signal, highWaterMark: 2 ** 20 })) {
      sum = crc32(bytes as Buffer, sum);
    }
    return sum;
  } catch (cause) {
    if (signal.aborted) throw cause;
    throw fileError('read a layer', file, cause);
  }
}
