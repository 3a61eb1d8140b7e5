import { mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { fileError } from '../core/errors.js';

/** Bytes of a socket's path that the system takes, less the zero behind it. */
const LONGEST_SOCKET_PATH = process.platform === 'darwin' ? 103 : 107;

/** A path that may be connected to. */
export interface SocketPath {
  readonly path: string;
  readonly release: () => Promise<void>;
}

/** A directory of ours with a short name. */
export async function makeShortDirectory(): Promise<string> {
  try {
    return await mkdtemp(path.join(tmpdir(), 'vmr-'));
  } catch (cause) {
    throw fileError('make a directory', tmpdir(), cause);
  }
}

/** The path of a socket; one that is too long for the system by way of a short link to it. */
export async function shortSocketPath(socket: string): Promise<SocketPath> {
  if (Buffer.byteLength(socket) <= LONGEST_SOCKET_PATH) return { path: socket, release: () => Promise.resolve() };
  const directory = await makeShortDirectory();
  const link = path.join(directory, 's');
  const release = (): Promise<void> => rm(directory, { recursive: true, force: true });
  try {
    await symlink(path.resolve(socket), link);
  } catch (cause) {
    await release();
    throw fileError('make a link', link, cause);
  }
  return { path: link, release };
}
