import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { expect, it, onTestFinished } from 'vitest';

import { LayerStore } from '../../../src/images/layer/store.js';
import { LinuxProcessTable } from '../../../src/process/table.js';
import { openStore } from '../../../src/store/store.js';
import { writeLayer } from '../../support/layer-writer.js';
import { digest } from '../../support/oci-layout.js';
import { temporaryDirectory } from '../../support/temporary-directory.js';
import { IS_ROOT } from '../../support/tree-listing.js';
import { recordingLog } from '../support.js';

// A disk of its own is root's.
it.skipIf(!IS_ROOT)('keeps nothing of a layer for which the disk has no room, and says so (root only)', async () => {
  const directory = await temporaryDirectory();
  const home = path.join(directory, 'home');
  await mkdir(home);
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'none', home]);
  onTestFinished(() => void execFileSync('umount', [home]));
  const processes = new LinuxProcessTable();
  const { paths } = await openStore(home, processes);
  const layers = new LayerStore({ store: paths, processes });
  const tar = writeLayer([{ name: 'a', data: randomBytes(6 * 2 ** 20) }]);
  const file = path.join(directory, 'layer');
  await writeFile(file, tar);
  const context = { log: recordingLog(), signal: new AbortController().signal };
  await expect(layers.add({ file }, digest(tar), context)).rejects.toMatchObject({ code: 'disk-full', blame: 'infra' });
  expect(await readdir(paths.layers)).toEqual([]);
  expect(await readdir(paths.temporary)).toEqual([]);
  const small = writeLayer([{ name: 'a', data: 'fits' }]);
  await writeFile(file, small);
  await layers.add({ file }, digest(small), context);
  expect(await layers.has(digest(small))).toBe(true);
});
