import { fileError } from '../core/errors.js';
import type { ProcessTable } from '../core/process-identity.js';
import { makeDirectories } from './directories.js';
import { EventLog } from './events.js';
import { storePaths, vmPaths, type StorePaths } from './paths.js';
import { migrateStore, readStoreVersion, STORE_VERSION } from './version.js';
import { VmRecords } from './vms.js';

/** The state of vm-runner on this host. */
export interface Store {
  readonly paths: StorePaths;
  readonly vms: VmRecords;
  readonly events: EventLog;
}

/**
 * Opens the store. Makes it when it is not there, and brings one of an older vm-runner up to date.
 * @throws host-file-failed without permission, store-newer when a newer vm-runner made it: then nothing in it is touched.
 */
export async function openStore(home: string, processes: ProcessTable): Promise<Store> {
  const paths = storePaths(home);
  // Told now, and not after the image was built: a name as long as those that we make up must fit.
  vmPaths(paths, 'vm-0123456789');
  const version = await readStoreVersion(paths);
  const { home: top, vms, logs, blobs, layers, images, guests, templates, refs, locks, temporary } = paths;
  const directories = [top, vms, logs, blobs, layers, images, guests, templates, refs, locks, temporary];
  for (const directory of directories) {
    try {
      await makeDirectories(directory, 0o700);
    } catch (cause) {
      throw fileError('make a directory of the store', directory, cause);
    }
  }
  if (version !== STORE_VERSION) await migrateStore(paths, processes);
  return { paths, vms: new VmRecords(paths, processes), events: new EventLog(paths, processes) };
}
