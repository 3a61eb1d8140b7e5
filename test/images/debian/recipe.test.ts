import { describe, expect, it } from 'vitest';

import { DEFAULT_RECIPE, recipeKey } from '../../../src/images/debian/recipe.js';

describe('recipeKey', () => {
  it('does not depend on the order of fields', () => {
    const reversed = Object.fromEntries(Object.entries(DEFAULT_RECIPE).reverse()) as unknown as typeof DEFAULT_RECIPE;
    expect(recipeKey(reversed)).toBe(recipeKey(DEFAULT_RECIPE));
  });

  it('changes with everything that decides what is built', () => {
    const keys = [
      DEFAULT_RECIPE,
      { ...DEFAULT_RECIPE, version: 99 },
      { ...DEFAULT_RECIPE, packages: [...DEFAULT_RECIPE.packages, 'vim'] },
      { ...DEFAULT_RECIPE, customizeHook: 'true' },
      { ...DEFAULT_RECIPE, bootModules: [] },
    ].map(recipeKey);
    expect(new Set(keys).size).toBe(keys.length);
  });
});
