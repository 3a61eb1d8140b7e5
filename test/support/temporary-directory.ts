import { mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { onTestFinished } from 'vitest';

/** A directory that goes when the test is over. Short, because sockets lie in it. */
export async function temporaryDirectory(): Promise<string> {
  const directory = await realpath(await mkdtemp(path.join(tmpdir(), 'vmr-')));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  return directory;
}
