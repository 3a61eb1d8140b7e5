import { once } from 'node:events';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

import { LinuxProcessTable } from '../../src/process/table.js';
import { storePaths, type StorePaths } from '../../src/store/paths.js';
import { openStore } from '../../src/store/store.js';
import { temporaryDirectory } from '../support/temporary-directory.js';
import { startTypeScript } from '../support/typescript-child.js';
import { recordNamed } from './vm-record.js';

const processes = new LinuxProcessTable();
const CHILD = path.join(import.meta.dirname, 'version-child.ts');
const KEY = '0'.repeat(32);

/** A store as the program before left it, with a template and a VM. */
async function oldStore(): Promise<StorePaths> {
  const paths = storePaths(path.join(await temporaryDirectory(), 'home'));
  const { vms } = await openStore(paths.home, processes);
  await vms.create(recordNamed('vm-old'));
  await mkdir(path.join(paths.templates, KEY));
  await writeFile(path.join(paths.templates, KEY, 'memory'), 'x');
  await writeFile(paths.qemu, '{}');
  await writeFile(paths.acceleration, '{}');
  await writeFile(path.join(paths.refs, 'name'), 'kept');
  await writeFile(paths.version, '1\n');
  return paths;
}

async function expectMigrated(paths: StorePaths): Promise<void> {
  expect(await readFile(paths.version, 'utf8')).toBe('2\n');
  for (const gone of [paths.templates, paths.temporary, paths.locks]) expect(await readdir(gone)).toEqual([]);
  const names = await readdir(paths.home);
  expect(names).not.toContain('qemu.json');
  expect(names).not.toContain('acceleration.json');
  expect(await readdir(paths.refs)).toEqual(['name']);
  const { vms } = await openStore(paths.home, processes);
  expect(await vms.read('vm-old')).toEqual(recordNamed('vm-old'));
}

describe('a store of an older version', () => {
  it('keeps its VMs and its images, and loses what is made again', async () => {
    const paths = await oldStore();
    await openStore(paths.home, processes);
    await expectMigrated(paths);
  });

  it('is brought up to date when a directory of it is missing', async () => {
    const paths = await oldStore();
    await rm(paths.templates, { recursive: true });
    await openStore(paths.home, processes);
    await expectMigrated(paths);
  });

  it('is brought up to date from wherever another program was killed', async () => {
    const paths = await oldStore();
    await rm(paths.qemu);
    await mkdir(path.join(paths.templates, '1'.repeat(32)));
    await rm(path.join(paths.templates, KEY), { recursive: true });
    await openStore(paths.home, processes);
    await expectMigrated(paths);
  });

  it('is brought up to date once however many programs open it', async () => {
    const paths = await oldStore();
    const children = Array.from({ length: 4 }, () => startTypeScript(CHILD, [paths.home]));
    const here = Array.from({ length: 8 }, () => openStore(paths.home, processes));
    const codes = await Promise.all(children.map(async (child) => (await once(child, 'exit'))[0] as unknown));
    await Promise.all(here);
    expect(codes).toEqual([0, 0, 0, 0]);
    await expectMigrated(paths);
  });
});

describe('a store of a newer version', () => {
  it('is refused with a sentence, and nothing in it is touched', async () => {
    const home = path.join(await temporaryDirectory(), 'home');
    await mkdir(home);
    await writeFile(path.join(home, 'version'), '3\n');
    await expect(openStore(home, processes)).rejects.toMatchObject({ code: 'store-newer' });
    await expect(openStore(home, processes)).rejects.toThrow(
      `a newer vm-runner made this store (version 3): ${home}. This one knows stores up to version 2: use the newer program, or set VM_RUNNER_HOME to another directory.`,
    );
    expect(await readdir(home)).toEqual(['version']);
  });

  it('is not what a damaged version says', async () => {
    const home = path.join(await temporaryDirectory(), 'home');
    await mkdir(home);
    await writeFile(path.join(home, 'version'), '\0\0');
    await expect(openStore(home, processes)).rejects.toMatchObject({ code: 'store-damaged' });
  });
});
