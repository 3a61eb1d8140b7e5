import { readdir, readFile, rename, rm } from 'node:fs/promises';
import path from 'node:path';

import { fileError, systemCode, VmRunnerError } from '../core/errors.js';
import type { ProcessTable } from '../core/process-identity.js';
import { acquireLock } from './lock.js';
import type { StorePaths } from './paths.js';
import { makeTemporaryDirectory } from './temporary.js';
import { writeWhole } from './whole-file.js';

/**
 * Version of the layout of a store. Raised when an older program must not work with it any more: one of version 1 asks for no
 * room, and what it writes into a record loses the user whom its QEMU runs as.
 */
export const STORE_VERSION = 2;

/**
 * The version of a store; `undefined` when it does not say, as one that was never finished.
 * @throws store-newer when this program is too old for it, store-damaged when what stands there is no version.
 */
export async function readStoreVersion(paths: StorePaths): Promise<number | undefined> {
  let text: string;
  try {
    text = (await readFile(paths.version, 'utf8')).trim();
  } catch (cause) {
    // What is in the way of the store is told by whoever makes it.
    if (['ENOENT', 'ENOTDIR'].includes(systemCode(cause) ?? '')) return undefined;
    throw fileError('read a file of the store', paths.version, cause);
  }
  const version = /^[1-9]\d{0,8}$/.test(text) ? Number(text) : undefined;
  if (version === undefined) {
    throw new VmRunnerError('store-damaged', 'version of the store cannot be read', {
      subject: paths.version,
      hint: 'When only this vm-runner uses the store, remove that file; else set VM_RUNNER_HOME to another directory.',
    });
  }
  if (version > STORE_VERSION) {
    throw new VmRunnerError('store-newer', `a newer vm-runner made this store (version ${version})`, {
      subject: paths.home,
      hint: `This one knows stores up to version ${STORE_VERSION}: use the newer program, or set VM_RUNNER_HOME to another directory.`,
    });
  }
  return version;
}

/**
 * Makes an older store one of this version. Running VMs stay as they are: their records did not change. May be killed at
 * any point, and run by many at once: the version is written last, and until then the next one does all of it again.
 */
export async function migrateStore(paths: StorePaths, processes: ProcessTable): Promise<void> {
  const lock = await acquireLock(path.join(paths.locks, 'version'), { processes });
  try {
    if ((await readStoreVersion(paths)) === STORE_VERSION) return;
    await dropRebuilt(paths, processes);
    await writeWhole(paths.version, `${STORE_VERSION}\n`);
  } finally {
    await lock.release();
  }
}

/**
 * What is made again in seconds is not carried over, so that nobody has to know what an older program believed of it:
 * templates, and what was remembered of QEMU and of the processor.
 */
async function dropRebuilt(paths: StorePaths, processes: ProcessTable): Promise<void> {
  await rm(paths.qemu, { force: true });
  await rm(paths.acceleration, { force: true });
  const templates = await readdir(paths.templates);
  if (templates.length === 0) return;
  // Nobody may find a template of which only a part is there; clones have its files open and do not need their names.
  const aside = await makeTemporaryDirectory(paths, processes);
  try {
    for (const name of templates) {
      try {
        await rename(path.join(paths.templates, name), path.join(aside, name));
      } catch (cause) {
        if (systemCode(cause) !== 'ENOENT')
          throw fileError('remove a template', path.join(paths.templates, name), cause);
      }
    }
  } finally {
    await rm(aside, { recursive: true, force: true });
  }
}
