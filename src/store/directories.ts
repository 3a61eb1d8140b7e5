import { mkdir, rm, stat } from 'node:fs/promises';
import path from 'node:path';

import { fileError, systemCode } from '../core/errors.js';

/**
 * Makes a directory and those above it that are missing. Not Node's own `recursive`, which never ends where the system
 * says ENOENT for a new name in a directory that exists, as /proc does.
 * @param mode permission bits of new directories, before the umask; default 0777
 */
export async function makeDirectories(directory: string, mode = 0o777): Promise<void> {
  try {
    await mkdir(directory, { mode });
  } catch (error) {
    if (systemCode(error) === 'EEXIST' && (await stat(directory)).isDirectory()) return;
    const parent = path.dirname(directory);
    if (systemCode(error) !== 'ENOENT' || parent === directory) throw error;
    await makeDirectories(parent, mode);
    await makeLast(directory, mode);
  }
}

/** Its parent is there now: what fails here fails for good, unless somebody else was faster. */
async function makeLast(directory: string, mode: number): Promise<void> {
  try {
    await mkdir(directory, { mode });
  } catch (error) {
    if (systemCode(error) !== 'EEXIST' || !(await stat(directory)).isDirectory()) throw error;
  }
}

/** Removes a file, or a directory with all that is in it; one that is not there is no error. @param action for the sentence */
export async function removeTree(path: string, action: string): Promise<void> {
  try {
    await rm(path, { recursive: true, force: true });
  } catch (cause) {
    throw fileError(action, path, cause);
  }
}
