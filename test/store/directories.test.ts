import { stat, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

import { makeDirectories } from '../../src/store/directories.js';
import { temporaryDirectory } from '../support/temporary-directory.js';

describe('makeDirectories', () => {
  it('makes what is missing, and is content with what is there', async () => {
    const directory = path.join(await temporaryDirectory(), 'a/b/c');
    await Promise.all([makeDirectories(directory, 0o700), makeDirectories(directory, 0o700)]);
    await makeDirectories(directory);
    expect((await stat(directory)).mode & 0o777).toBe(0o700);
  });

  it('ends where the system makes no directories', async () => {
    await expect(makeDirectories('/proc/x/y')).rejects.toThrow('ENOENT');
  });

  it('says what is in the way', async () => {
    const file = path.join(await temporaryDirectory(), 'file');
    await writeFile(file, '');
    await expect(makeDirectories(file)).rejects.toThrow('EEXIST');
    await expect(makeDirectories(path.join(file, 'x'))).rejects.toThrow('ENOTDIR');
  });
});
