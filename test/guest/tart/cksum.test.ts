import { execFileSync } from 'node:child_process';

import { expect, it } from 'vitest';

import { PosixChecksum } from '../../../src/guest/tart/cksum.js';

it.each([0, 1, 255, 256, 70_000])('sums up %i bytes as cksum does', (size) => {
  const bytes = Buffer.from(Array.from({ length: size }, (_, i) => (i * 7) % 251));
  const sum = new PosixChecksum();
  sum.update(bytes.subarray(0, size / 2));
  sum.update(bytes.subarray(size / 2));
  expect(sum.text).toBe(execFileSync('cksum', { input: bytes }).toString().trim());
});
