import { describe, expect, it } from 'vitest';

import { buildStep, saysDiskFull } from '../../../src/images/debian/build-progress.js';

// Captured from mmdebstrap 1.3.5.
const OUTPUT = `I: chroot architecture amd64 is equal to the host's architecture
I: finding correct signed-by value...
I: using /tmp/mmdebstrap.QqVBMxBmo4 as tempdir
I: running apt-get update...
I: downloading packages with apt...
I: extracting archives...
I: installing essential packages...
I: installing remaining packages inside the chroot...
I: running --customize-hook in shell: sh -c 'set -eu' exec /tmp/mmdebstrap.QqVBMxBmo4
I: cleaning package lists and apt cache...
I: creating tarball...
I: done`;

describe('buildStep', () => {
  it('condenses what mmdebstrap says to its steps', () => {
    expect(OUTPUT.split('\n').flatMap((line) => buildStep(line) ?? [])).toEqual([
      'reading the package lists',
      'downloading packages',
      'unpacking packages',
      'installing the base system',
      'installing the other packages',
      'adding the kernel',
      'packing the tree',
    ]);
  });
});

describe('saysDiskFull', () => {
  it('knows the sentences of tar, mke2fs, dpkg and apt', () => {
    expect(saysDiskFull('tar: ./usr/bin/git: Wrote only 512 of 10240 bytes: No space left on device')).toBe(true);
    expect(saysDiskFull("E: You don't have enough free space in /var/cache/apt/archives/.")).toBe(true);
    expect(saysDiskFull('write error: Disk quota exceeded')).toBe(true);
    expect(saysDiskFull('E: Unable to locate package gti')).toBe(false);
  });
});
