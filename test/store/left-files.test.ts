import { readdir, utimes, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { expect, it } from 'vitest';

import { removeLeftFiles } from '../../src/store/left-files.js';
import { deadProcess, temporaryStore } from '../images/support.js';

it('removes locks of dead processes and old temporary files, and nothing of the living', async () => {
  const { store, processes } = await temporaryStore();
  const { paths } = store;
  const lock = (name: string, holder: object): Promise<void> =>
    writeFile(path.join(paths.locks, name), JSON.stringify(holder));
  await lock('vm-1.record', await deadProcess(processes));
  await lock('vm-2.record', processes.self);
  const old = path.join(paths.refs, 'name.json.0123456789ab.tmp');
  for (const file of [old, path.join(paths.refs, 'name.json.ba9876543210.tmp'), path.join(paths.refs, 'name.json')]) {
    await writeFile(file, '');
  }
  await utimes(old, 1, 1);
  await removeLeftFiles(paths, processes, Date.now() - 60_000);
  expect(await readdir(paths.locks)).toEqual(['vm-2.record']);
  expect((await readdir(paths.refs)).sort()).toEqual(['name.json', 'name.json.ba9876543210.tmp']);
});
