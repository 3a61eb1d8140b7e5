import { describe, expect, it } from 'vitest';

import { DEFAULT_RECIPE } from '../../src/images/recipe.js';
import { asFakeRoot, makeDiskArguments } from '../../src/images/root-disk.js';

describe('makeDiskArguments', () => {
  it('tells a new mke2fs that the file reads as zeros', () => {
    expect(makeDiskArguments(DEFAULT_RECIPE, 'mke2fs 1.47.0 (5-Feb-2023)', '/t/tree', '/t/disk').join(' ')).toBe(
      'mke2fs -q -t ext4 -d /t/tree -L vm-runner -m 0 -i 16384 -J size=32' +
        ' -E lazy_itable_init=0,assume_storage_prezeroed=1 /t/disk 16384M',
    );
  });

  it('lets an older one write the zeros', () => {
    for (const version of ['mke2fs 1.46.5 (30-Dec-2021)', 'something else']) {
      const argv = makeDiskArguments(DEFAULT_RECIPE, version, 'tree', 'disk');
      expect(argv).toContain('lazy_itable_init=0,lazy_journal_init=1');
    }
  });
});

describe('asFakeRoot', () => {
  it('hands the owners of files from one step to the next', () => {
    expect(asFakeRoot({ save: 'owners' }, ['tar', '-x'])).toEqual(['fakeroot', '-s', 'owners', '--', 'tar', '-x']);
    expect(asFakeRoot({ load: 'owners' }, ['mke2fs'])).toEqual(['fakeroot', '-i', 'owners', '--', 'mke2fs']);
  });
});
