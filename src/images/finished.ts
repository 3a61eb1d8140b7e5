import { chmod, open, stat } from 'node:fs/promises';

import { fileError, systemCode } from '../core/errors.js';

/** Whether there is a file of that name. */
export async function isThere(file: string): Promise<boolean> {
  try {
    await stat(file);
    return true;
  } catch (cause) {
    if (systemCode(cause) === 'ENOENT') return false;
    throw fileError('look at a file', file, cause);
  }
}

/** Makes a finished file read-only and brings it to the disk: what names it must not survive a power cut that it did not. */
export async function sealFile(file: string): Promise<void> {
  try {
    await chmod(file, 0o444);
  } catch (cause) {
    throw fileError('finish a file of an image', file, cause);
  }
  await sync(file);
}

/** Brings the names in a directory to the disk. */
export async function syncDirectory(directory: string): Promise<void> {
  await sync(directory);
}

async function sync(file: string): Promise<void> {
  try {
    const handle = await open(file, 'r');
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  } catch (cause) {
    throw fileError('finish a file of an image', file, cause);
  }
}
