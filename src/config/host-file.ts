import { constants } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';

import { fileError, systemCode, VmRunnerError } from '../core/errors.js';
import type { HostFilePlace } from './locate.js';

export interface HostFile {
  readonly path: string;
  readonly text: string;
}

const MOST_BYTES = 2 ** 20;
const OTHERS_MAY_WRITE = 0o022;
const ROOT = 0;

/**
 * The first of the places that has a file.
 * @param uid ours: root reads nothing that somebody else may write, since the file names programs that root then runs
 * @throws host-config-invalid when a file that was named is not there, or when one cannot be trusted.
 */
export async function readHostFile(
  places: readonly HostFilePlace[],
  uid: number | undefined,
): Promise<HostFile | undefined> {
  for (const place of places) {
    const text = await readPlace(place, uid);
    if (text !== undefined) return { path: place.path, text };
  }
  return undefined;
}

async function readPlace({ path, namedBy }: HostFilePlace, uid: number | undefined): Promise<string | undefined> {
  let file: FileHandle;
  try {
    // A pipe without a writer must not keep us.
    file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (cause) {
    const isMissing = systemCode(cause) === 'ENOENT' || systemCode(cause) === 'ENOTDIR';
    if (isMissing && namedBy === undefined) return undefined;
    if (!isMissing) throw fileError('read the host file', path, cause);
    throw new VmRunnerError('host-config-invalid', `no host file there, where ${namedBy} says that it is`, {
      subject: path,
      hint: `Check the path, or leave ${namedBy} out.`,
      cause,
    });
  }
  try {
    return await readChecked(file, path, uid);
  } finally {
    await file.close();
  }
}

async function readChecked(file: FileHandle, path: string, uid: number | undefined): Promise<string> {
  const refuse = (reason: string, hint: string): VmRunnerError =>
    new VmRunnerError('host-config-invalid', reason, { subject: path, hint });
  const stats = await file.stat();
  if (!stats.isFile()) throw refuse('host file is no plain file', 'Name a file with text in it.');
  if (stats.size > MOST_BYTES) throw refuse('host file has more than 1 MiB', 'Check that it is the right one.');
  if (uid === ROOT && stats.uid !== ROOT) {
    const hint = `It names programs that root then runs, so it must be root's: chown root ${path}`;
    throw refuse(`host file belongs to user ${stats.uid}, and root reads it`, hint);
  }
  if (uid === ROOT && (stats.mode & OTHERS_MAY_WRITE) !== 0) {
    const hint = `It names programs that root then runs, so only root may write it: chmod go-w ${path}`;
    throw refuse('host file may be written by others, and root reads it', hint);
  }
  const { buffer, bytesRead } = await file.read(Buffer.alloc(stats.size), 0, stats.size, 0);
  return buffer.toString('utf8', 0, bytesRead);
}
