import { describe, expect, it } from 'vitest';

import { absoluteReference, localReference } from '../../src/cli/image-reference.js';

describe('absoluteReference', () => {
  it.each([
    ['oci:layout', 'oci:/w/layout'],
    ['oci:../layout:tag', 'oci:/layout:tag'],
    ['docker-archive:a b.tar', 'docker-archive:/w/a b.tar'],
    ['rootfs:/x/root.tar.gz', 'rootfs:/x/root.tar.gz'],
    ['node:22', 'node:22'],
    ['localhost:5000/oci:1', 'localhost:5000/oci:1'],
    ['default', 'default'],
  ])('%s is %s', (text, absolute) => {
    expect(absoluteReference(text, '/w')).toBe(absolute);
  });
});

describe('localReference', () => {
  it('is the same with its prefix and without', () => {
    expect(localReference('base')).toBe('local/base');
    expect(localReference('local/base')).toBe('local/base');
  });
});
