import { once } from 'node:events';
import { stat } from 'node:fs/promises';
import { createServer } from 'node:net';
import path from 'node:path';

import { fileError, systemCode, VmRunnerError } from '../core/errors.js';

export interface Mutex {
  release(): Promise<void>;
}

/**
 * Takes a mutex that the kernel frees when its holder dies; `undefined` when somebody has it. For moments only: whoever
 * waits, waits by trying again.
 *
 * It is a socket in Linux's abstract namespace, which only one process can listen on and which is no file.
 * @param file what it protects; in an existing directory, by whatever path that is reached
 */
export async function tryMutex(file: string): Promise<Mutex | undefined> {
  const directory = path.dirname(file);
  let id: string;
  try {
    const { dev, ino } = await stat(directory);
    id = `${dev}:${ino}`;
  } catch (cause) {
    throw fileError('look at a directory', directory, cause);
  }
  const server = createServer((socket) => socket.destroy());
  server.unref().listen(`\0vm-runner:${id}:${path.basename(file)}`);
  try {
    await once(server, 'listening');
  } catch (cause) {
    if (systemCode(cause) === 'EADDRINUSE') return undefined;
    throw new VmRunnerError('internal', 'no mutex can be had of this system', { subject: file, cause });
  }
  return {
    release: async () => {
      server.close();
      await once(server, 'close');
    },
  };
}
