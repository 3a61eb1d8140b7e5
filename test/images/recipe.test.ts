import { describe, expect, it } from 'vitest';

import { DEFAULT_RECIPE, imageKey, rootKey } from '../../src/images/recipe.js';

describe('rootKey', () => {
  it('does not depend on the order of fields', () => {
    const reversed = Object.fromEntries(Object.entries(DEFAULT_RECIPE).reverse()) as unknown as typeof DEFAULT_RECIPE;
    expect(rootKey(reversed)).toBe(rootKey(DEFAULT_RECIPE));
  });

  it('changes with everything that decides what is built', () => {
    const keys = [
      DEFAULT_RECIPE,
      { ...DEFAULT_RECIPE, version: 99 },
      { ...DEFAULT_RECIPE, packages: [...DEFAULT_RECIPE.packages, 'vim'] },
      { ...DEFAULT_RECIPE, customizeHook: 'true' },
      { ...DEFAULT_RECIPE, disk: { ...DEFAULT_RECIPE.disk, sizeMiB: 1 } },
    ].map(rootKey);
    expect(new Set(keys).size).toBe(keys.length);
  });
});

describe('imageKey', () => {
  it('changes with the root disk and with the agent', () => {
    expect(new Set([imageKey('a', 'b'), imageKey('a', 'c'), imageKey('b', 'b')]).size).toBe(3);
  });
});
