import { rename, rm } from 'node:fs/promises';
import path from 'node:path';

import type { ProcessTable } from '../core/process-identity.js';
import type { StorePaths } from '../store/paths.js';
import { discardTemporary, makeTemporaryDirectory } from '../store/temporary.js';
import { fileStep } from './file-step.js';
import { syncDirectory } from './finished.js';

/**
 * Lets `make` fill a temporary directory, and gives it its name only when that worked: it is whole or not there. What was there
 * goes. The caller sees to it that nobody else does the same.
 */
export async function intoPlace<T>(
  { store, processes }: { readonly store: StorePaths; readonly processes: ProcessTable },
  directory: string,
  make: (temporary: string) => Promise<T>,
): Promise<T> {
  const temporary = await makeTemporaryDirectory(store, processes);
  try {
    const result = await make(temporary);
    await moveIntoPlace(temporary, directory);
    return result;
  } finally {
    await discardTemporary(temporary);
  }
}

/** Gives a finished directory its name, also for after a power cut. What had that name goes. */
export async function moveIntoPlace(temporary: string, directory: string): Promise<void> {
  await syncDirectory(temporary);
  await fileStep('replace a directory', directory, rm(directory, { recursive: true, force: true }));
  await fileStep('move a directory into its place', directory, rename(temporary, directory));
  await syncDirectory(path.dirname(directory));
}
