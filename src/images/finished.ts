import { chmod, stat } from 'node:fs/promises';

import { fileError, systemCode } from '../core/errors.js';
import { syncPath } from '../store/whole-file.js';

const FINISH = 'finish a file of an image';

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
    throw fileError(FINISH, file, cause);
  }
  await syncPath(file, FINISH);
}

/** Brings the names in a directory to the disk. */
export async function syncDirectory(directory: string): Promise<void> {
  await syncPath(directory, FINISH);
}
