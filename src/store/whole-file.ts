import { randomBytes } from 'node:crypto';
import { open, rename, rm } from 'node:fs/promises';

import { fileError } from '../core/errors.js';

/**
 * Writes a file that other processes read: they see the old one or the new one, never a part, also after a power cut.
 * @param mode permission bits; default 0600
 */
export async function writeWhole(path: string, data: string | Uint8Array, mode = 0o600): Promise<void> {
  const temporary = `${path}.${randomBytes(6).toString('hex')}.tmp`;
  try {
    const file = await open(temporary, 'wx', mode);
    try {
      await file.writeFile(data);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (cause) {
    await rm(temporary, { force: true });
    throw fileError('write a file', path, cause);
  }
}
