import { expect, it } from 'vitest';

import { checkFreeSpace } from '../../../src/providers/qemu/free-space.js';
import { rejection } from '../../images/support.js';
import { temporaryDirectory } from '../../support/temporary-directory.js';

it('refuses a VM that would run out of disk in the middle of its job', async () => {
  const directory = await temporaryDirectory();
  await checkFreeSpace(directory, 1);
  const error = await rejection(checkFreeSpace(directory, 2 ** 60));
  expect(error.code).toBe('disk-full');
  expect(error.message).toMatch(/^only .+iB free, a VM needs at least 1048576 TiB: .+\. Free some space/);
});
