import { describe, expect, it } from 'vitest';

import { absoluteGuestPath, splitGlob } from '../../src/core/glob.js';

describe('splitGlob', () => {
  it.each([
    ['/w/out/**', '/w/out', '**'],
    ['/w/a.txt', '/w', 'a.txt'],
    ['out/*.log', '/job/out', '*.log'],
    ['**/*.xml', '/job', '**/*.xml'],
    ['./dist', '/job', 'dist'],
    ['/', '/', '**'],
    ['/{a,b}/c', '/', '{a,b}/c'],
    ['/var//log/x', '/var/log', 'x'],
  ])('cuts %s into %s and %s', (glob, directory, pattern) => {
    expect(splitGlob(glob, '/job')).toEqual({ directory, pattern });
  });
});

describe('absoluteGuestPath', () => {
  it.each([
    ['/a/b', '/a/b'],
    ['a/b', '/job/a/b'],
    ['./a', '/job/a'],
  ])('makes %s %s', (path, absolute) => {
    expect(absoluteGuestPath(path, '/job')).toBe(absolute);
  });
});
