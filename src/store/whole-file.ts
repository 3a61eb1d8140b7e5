import { randomBytes } from 'node:crypto';
import { open, realpath, rename, rm, stat } from 'node:fs/promises';

import { fileError, systemCode, VmRunnerError } from '../core/errors.js';

/** What a file is called until it is whole. Tells which process writes it, so that what a killed one left can be found. */
export function temporaryName(path: string): string {
  return `${path}.${process.pid}-${randomBytes(6).toString('hex')}.tmp`;
}

/** The process that made a name of {@link temporaryName}; `undefined` for other names. */
export function writerOf(name: string): number | undefined {
  const match = /\.(\d+)-[0-9a-f]{12}\.tmp$/.exec(name);
  return match === null ? undefined : Number(match[1]);
}

/**
 * Writes a file that other processes read: they see the old one or the new one, never a part, also after a power cut.
 * @param mode permission bits; default 0600
 */
export async function writeWhole(path: string, data: string | Uint8Array, mode = 0o600): Promise<void> {
  await replace(path, data, { mode, sync: true });
}

/** As {@link writeWhole}, for what is worth nothing after a crash of the host: the disk is not waited for. */
export async function writeTransient(path: string, data: string): Promise<void> {
  await replace(path, data, { mode: 0o600, sync: false });
}

async function replace(
  path: string,
  data: string | Uint8Array,
  { mode, sync }: { readonly mode: number; readonly sync: boolean },
): Promise<void> {
  const temporary = temporaryName(path);
  try {
    const file = await open(temporary, 'wx', mode);
    try {
      await file.writeFile(data);
      if (sync) await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (cause) {
    // The first error is the reason.
    await rm(temporary, { force: true }).catch(() => undefined);
    throw fileError('write a file', path, cause);
  }
}

/** Brings a finished file, or the names in a directory, to the disk. @param action for the sentence when that fails */
export async function syncPath(path: string, action: string): Promise<void> {
  try {
    const handle = await open(path, 'r');
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  } catch (cause) {
    throw fileError(action, path, cause);
  }
}

/**
 * The file that a person means by a path: links are followed, and what is no regular file is refused, since a whole file
 * takes the place of what is there (of /dev/stdout, too).
 * @throws invalid-input
 */
export async function replaceableFile(path: string): Promise<string> {
  try {
    if ((await stat(path)).isFile()) return await realpath(path);
  } catch (cause) {
    if (systemCode(cause) === 'ENOENT') return path;
    throw fileError('look at a file', path, cause);
  }
  throw new VmRunnerError('invalid-input', 'not a regular file', {
    subject: path,
    hint: 'Name a file; it is replaced as a whole.',
  });
}
