import { expect, it } from 'vitest';

import { installedPackages } from '../../src/images/dpkg-status.js';

it('lists installed packages with their versions, and no removed ones', () => {
  const status = `Package: git
Status: install ok installed
Architecture: amd64
Version: 1:2.39.5-0+deb12u2
Description: fast
 Version: not this one

Package: vim
Status: deinstall ok config-files
Version: 2:9.0
`;
  expect(installedPackages(status)).toEqual({ git: '1:2.39.5-0+deb12u2' });
});
