import { describe, expect, it } from 'vitest';

import { suggest } from '../../src/core/suggest.js';

const WORDS = ['env', 'memory', 'boot-timeout', 'timeout', 'artifacts', 'image'];

describe('suggest', () => {
  it.each([
    ['memroy', 'memory'],
    ['artefacts', 'artifacts'],
    ['boot_timeout', 'boot-timeout'],
    ['Image', 'image'],
    ['images', 'image'],
    ['ENV', 'env'],
    ['nev', 'env'],
  ])('takes %s for %s', (given, meant) => {
    expect(suggest(given, WORDS)).toBe(meant);
  });

  it('takes the nearest of two', () => {
    expect(suggest('pul', ['pulls', 'pullx', 'apple'])).toBe('pulls');
    expect(suggest('template', ['templates', 'template'])).toBe('template');
  });

  it.each(['env2', 'runs', 'frobnicate', ''])('takes %j for nothing', (given) => {
    expect(suggest(given, WORDS)).toBeUndefined();
  });
});
