import { readFile } from 'node:fs/promises';

import { fileError, systemCode, VmRunnerError } from '../core/errors.js';
import type { ProcessTable } from '../core/process-identity.js';
import { makeDirectories } from './directories.js';
import { EventLog } from './events.js';
import { storePaths, vmPaths, type StorePaths } from './paths.js';
import { VmRecords } from './vms.js';
import { writeWhole } from './whole-file.js';

/** Version of the layout below `home`. A store of another version is not touched. */
const STORE_VERSION = 1;

/** The state of vm-runner on this host. */
export interface Store {
  readonly paths: StorePaths;
  readonly vms: VmRecords;
  readonly events: EventLog;
}

/**
 * Opens the store, and makes it when it is not there.
 * @throws host-file-failed without permission, store-damaged when another version of vm-runner wrote it.
 */
export async function openStore(home: string, processes: ProcessTable): Promise<Store> {
  const paths = storePaths(home);
  // Told now, and not after the image was built: a name as long as those that we make up must fit.
  vmPaths(paths, 'vm-0123456789');
  const { home: top, vms, logs, blobs, layers, images, guests, templates, refs, locks, temporary } = paths;
  const directories = [top, vms, logs, blobs, layers, images, guests, templates, refs, locks, temporary];
  for (const directory of directories) {
    try {
      await makeDirectories(directory, 0o700);
    } catch (cause) {
      throw fileError('make a directory of the store', directory, cause);
    }
  }
  await checkVersion(paths);
  return { paths, vms: new VmRecords(paths, processes), events: new EventLog(paths, processes) };
}

async function checkVersion(paths: StorePaths): Promise<void> {
  let text: string;
  try {
    text = await readFile(paths.version, 'utf8');
  } catch (cause) {
    if (systemCode(cause) !== 'ENOENT') throw fileError('read a file of the store', paths.version, cause);
    await writeWhole(paths.version, `${STORE_VERSION}\n`);
    return;
  }
  if (text.trim() === String(STORE_VERSION)) return;
  const isNewer = Number(text) > STORE_VERSION;
  const version = JSON.stringify(text.trim());
  throw new VmRunnerError(
    isNewer ? 'store-newer' : 'store-damaged',
    `store has version ${version}, not ${STORE_VERSION}`,
    {
      subject: paths.home,
      hint: 'Use the version of vm-runner that made it, or set VM_RUNNER_HOME to another directory.',
    },
  );
}
