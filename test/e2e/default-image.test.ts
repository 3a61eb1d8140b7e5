import path from 'node:path';

import { expect, inject, it } from 'vitest';

import { hostWithImages } from '../support/e2e.js';
import { temporaryDirectory } from '../support/temporary-directory.js';
import { IS_ROOT, listTree, mountedByKernel, unpackedByUmoci } from '../support/tree-listing.js';
import { createContext } from '../providers/support.js';

// Mounting, and giving files owners, are root's.
it.skipIf(!IS_ROOT)('is file by file what others make of its export (root only)', async () => {
  const { images } = await hostWithImages(inject('sharedHome'));
  const context = createContext();
  const { root } = await images.baseGuest(context);
  const layout = path.join(await temporaryDirectory(), 'layout');
  await images.exportTo('default', layout, context);
  const ours = listTree(await mountedByKernel(root.disk));
  expect(ours.length).toBeGreaterThan(5000);
  expect(ours).toEqual(listTree(await unpackedByUmoci(layout, 'default')));
});
