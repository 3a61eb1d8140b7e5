import { lstat, readdir, stat, statfs } from 'node:fs/promises';
import path from 'node:path';

import { fileError, systemCode } from '../core/errors.js';

const BLOCK_BYTES = 512;

/** What a file, or a directory with all that is in it, takes of the disk. What is not there takes nothing. */
export async function bytesBelow(file: string): Promise<number> {
  try {
    const found = await lstat(file);
    const own = found.blocks * BLOCK_BYTES;
    if (!found.isDirectory()) return own;
    const below = await Promise.all((await readdir(file)).map((name) => bytesBelow(path.join(file, name))));
    return below.reduce((sum, bytes) => sum + bytes, own);
  } catch (cause) {
    // Went away in the meantime.
    if (systemCode(cause) === 'ENOENT') return 0;
    throw fileError('look at a file', file, cause);
  }
}

/** What a file takes of the disk; `undefined` when it is not there. */
export async function fileBytes(file: string): Promise<number | undefined> {
  try {
    return (await stat(file)).blocks * BLOCK_BYTES;
  } catch (cause) {
    if (systemCode(cause) === 'ENOENT') return undefined;
    throw fileError('look at a file', file, cause);
  }
}

/** What may still be written to the disk below a directory. */
export async function freeBytes(directory: string): Promise<number> {
  try {
    const { bavail, bsize } = await statfs(directory);
    return bavail * bsize;
  } catch (cause) {
    throw fileError('look at the free space', directory, cause);
  }
}
