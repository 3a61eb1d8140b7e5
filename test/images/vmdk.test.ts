import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { expect, it } from 'vitest';

import { vmdkDescriptor } from '../../src/images/vmdk.js';
import { temporaryDirectory } from '../support/temporary-directory.js';

it('makes QEMU see files as one disk, byte for byte, wherever it is started', async () => {
  const directory = await temporaryDirectory();
  const parts = [4096, 8192, 512, 1_048_576].map((bytes, index) => ({
    file: `part ${index}`,
    data: randomBytes(bytes),
  }));
  for (const { file, data } of parts) await writeFile(path.join(directory, file), data);
  const descriptor = vmdkDescriptor(parts.map(({ file, data }) => ({ file, bytes: data.length })));
  await writeFile(path.join(directory, 'disk.vmdk'), descriptor);
  const raw = path.join(directory, 'raw');
  execFileSync('qemu-img', ['convert', '-f', 'vmdk', '-O', 'raw', path.join(directory, 'disk.vmdk'), raw], {
    cwd: '/',
  });
  expect((await readFile(raw)).equals(Buffer.concat(parts.map(({ data }) => data)))).toBe(true);
});

it('splits what is longer than an extent may be', () => {
  const lines = vmdkDescriptor([{ file: 'data', bytes: 5 * 2 ** 30 }]).match(/^RW .*$/gm);
  expect(lines).toEqual([
    'RW 4194304 FLAT "data" 0',
    'RW 4194304 FLAT "data" 4194304',
    'RW 2097152 FLAT "data" 8388608',
  ]);
});
