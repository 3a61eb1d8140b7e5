import { readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

import { replaceableFile, writeWhole } from '../../src/store/whole-file.js';
import { temporaryDirectory } from '../support/temporary-directory.js';

describe('writeWhole', () => {
  it('replaces a file and leaves nothing beside it', async () => {
    const directory = await temporaryDirectory();
    const file = path.join(directory, 'f');
    await writeFile(file, 'old');
    await writeWhole(file, 'new');
    expect(await readFile(file, 'utf8')).toBe('new');
    expect(await readdir(directory)).toEqual(['f']);
  });

  it('says why it could not', async () => {
    const file = path.join(await temporaryDirectory(), 'no/f');
    await expect(writeWhole(file, 'x')).rejects.toMatchObject({ code: 'host-file-failed', subject: file });
  });
});

describe('replaceableFile', () => {
  it('follows a link to the file that is meant', async () => {
    const directory = await temporaryDirectory();
    await writeFile(path.join(directory, 'real'), '');
    await symlink('real', path.join(directory, 'link'));
    expect(await replaceableFile(path.join(directory, 'link'))).toBe(path.join(directory, 'real'));
    expect(await replaceableFile(path.join(directory, 'new'))).toBe(path.join(directory, 'new'));
  });

  it.each(['/dev/null', '/dev', '/proc/self/fd/0'])('refuses %s, which is no regular file', async (place) => {
    await expect(replaceableFile(place)).rejects.toThrow(
      `not a regular file: ${place}. Name a file; it is replaced as a whole.`,
    );
  });
});
