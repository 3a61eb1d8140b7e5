import { describe, expect, it } from 'vitest';

import { namesThatGo } from '../../src/images/names-that-go.js';
import { overBudget } from '../../src/images/over-budget.js';

const layer = (diffId: string, dataBytes = 100) => ({ diffId, dataBytes });

function image(digest: string, usedAt: number, layers = [layer(digest)], mayGo = true) {
  return { digest, usedAt, layers, metadataBytes: 1, mayGo };
}

describe('images over a budget', () => {
  it('stay while they fit', () => {
    expect(overBudget([image('a', 1), image('b', 2)], 202)).toEqual([]);
  });

  it('go from the least recently used on, until the rest fits', () => {
    expect(overBudget([image('c', 3), image('a', 1), image('b', 2)], 201)).toEqual(['a', 'b']);
  });

  it('stay when they are needed, whatever the budget', () => {
    expect(overBudget([image('a', 1, undefined, false), image('b', 2)], 0)).toEqual(['b']);
  });

  it('count a layer once, and as freed only with the last image that has it', () => {
    const shared = layer('base', 1000);
    const images = [image('a', 1, [shared, layer('a')]), image('b', 2, [shared, shared]), image('c', 3)];
    expect(overBudget(images, 1000 + 100 + 100 + 3)).toEqual([]);
    expect(overBudget(images, 1000 + 100 + 2)).toEqual(['a']);
    expect(overBudget(images, 1000)).toEqual(['a', 'b']);
  });
});

describe('names that are taken from images', () => {
  const ref = (reference: string, digest: string) => ({ reference, digest, pulledAt: 0 });
  const images = [image('a', 10), image('b', 1000)];
  const refs = [ref('docker.io/library/a:1', 'a'), ref('docker.io/library/b:1', 'b'), ref('local/b', 'b')];

  it('are those of images that nobody used for long', () => {
    expect(namesThatGo(images, refs, new Map(), { unusedMs: 500 }, 1000)).toEqual([refs[0]]);
    expect(namesThatGo(images, refs, new Map([['a', 'a VM runs in it']]), { unusedMs: 500 }, 1000)).toEqual([]);
  });

  it('are never those of images that were made here', () => {
    expect(namesThatGo(images, refs, new Map(), { budgetBytes: 0, unusedMs: 0 }, 5000)).toEqual([refs[0]]);
  });
});
