import { describe, expect, it } from 'vitest';

import { globExpression, Globs } from '../../../src/guest/tart/glob.js';

// The same cases as those of the agent, which evaluates globs in the guest (guest-agent/src/worker/globs.rs).

describe('Globs', () => {
  it.each([
    ['out/*.log', 'out/a.log', true],
    ['out/*.log', 'out/deep/a.log', false],
    ['out/**/*.log', 'out/a.log', true],
    ['out/**/*.log', 'out/deep/er/a.log', true],
    ['**', 'a/b', true],
    ['out/**', 'out/a/b', true],
    ['*', '.hidden', true],
    ['**/*.x', 'a/.b/.c.x', true],
    ['{a,b}/[0-9]?.[!x]', 'b/7z.y', true],
    ['{a,b}/[0-9]?.[!x]', 'b/7z.x', false],
    ['{a/{b,c},d}', 'a/c', true],
    ['[]a]', ']', true],
    ['[!/]', '/', false],
    ['a?c', 'a/c', false],
    ['\\*', '*', true],
    ['\\*', 'x', false],
    ['a.b+c', 'axb+c', false],
    ['x-y', 'x-y', true],
    ['./a/', 'a', true],
    ['?', '😀', true],
  ])('%s and %s: %s', (glob, name, expected) => {
    expect(globExpression(glob).test(name)).toBe(expected);
  });

  it('want what is below a match, unless it is excluded', () => {
    const globs = new Globs(['out'], ['**/tmp', 'out/secret']);
    expect(
      ['out', 'out/a', 'out/a/tmp', 'out/a/tmp/x', 'out/secret', 'other'].map((name) => globs.wants(name)),
    ).toEqual([true, true, false, false, false, false]);
  });

  it('want everything when nothing is included', () => {
    expect(new Globs([], ['*.o']).wants('a.c')).toBe(true);
    expect(new Globs(['!*.o'], []).wants('a.o')).toBe(false);
    expect(new Globs(['!*.o'], []).wants('a.c')).toBe(true);
  });

  it.each(['', '/', '/abs', 'a/../b', '[a', '[', '[]', '{a,b', 'a}', 'x\\', '[z-a]'])('refuse %j', (glob) => {
    expect(() => globExpression(glob)).toThrow(expect.objectContaining({ code: 'guest-request-refused' }) as Error);
  });
});
