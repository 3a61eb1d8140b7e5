import type { Log } from '../core/log.js';
import type { Host } from '../providers/provider.js';
import { cleanup } from './cleanup.js';

/**
 * Destroys a VM that waits in the pool, unless somebody took it: who takes one and who takes one away must not both do so.
 * @param incarnation of the VM that is meant: whoever takes it makes it another one
 * @returns whether it was still there
 */
export async function giveUp(host: Host, name: string, incarnation: string, log: Log): Promise<boolean> {
  const lock = await host.store.vms.lock(name);
  try {
    const record = await host.store.vms.read(name);
    if (record?.incarnation !== incarnation) return false;
    await cleanup(host, name, { keepLogs: false, log });
    return true;
  } finally {
    await lock.release();
  }
}
