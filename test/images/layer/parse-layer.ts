import type { LayerEntry } from '../../../src/images/layer/entry.js';
import { BLOCK_BYTES, LAYER_LIMITS, type LayerLimits } from '../../../src/images/layer/limits.js';
import { TarParser } from '../../../src/images/layer/tar-parser.js';

export interface ParsedLayer {
  readonly entries: LayerEntry[];
  /** What a file holds, by the block at which it begins. */
  readonly contents: Map<number, Buffer>;
}

/** What the parser makes of a tar that comes in pieces of one size. */
export function parseLayer(tar: Buffer, pieceBytes = tar.length, limits: Partial<LayerLimits> = {}): ParsedLayer {
  const entries: LayerEntry[] = [];
  const pieces = new Map<number, Buffer[]>();
  let next = 1;
  let current: Buffer[] = [];
  const parser = new TarParser(
    {
      beginFile: (size) => {
        const block = next;
        current = [];
        pieces.set(block, current);
        next += Math.max(1, Math.ceil(size / BLOCK_BYTES));
        return block;
      },
      data: (bytes) => void current.push(bytes),
      entry: (entry) => void entries.push(entry),
    },
    { ...LAYER_LIMITS, ...limits },
  );
  for (let at = 0; at < tar.length; at += pieceBytes) parser.push(tar.subarray(at, at + pieceBytes));
  parser.end();
  return { entries, contents: new Map([...pieces].map(([block, some]) => [block, Buffer.concat(some)])) };
}

/** Numbers that look random and are the same in every run. */
export function seeded(seed: number): (most: number) => number {
  let state = seed;
  return (most) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * most);
  };
}
