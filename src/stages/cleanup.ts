import { toVmRunnerError, VmRunnerError } from '../core/errors.js';
import type { Log } from '../core/log.js';
import type { Host, Provider } from '../providers/provider.js';
import { oldLogs } from '../store/kept-logs.js';
import { archiveLogs } from '../store/logs.js';

export interface CleanupOptions {
  /** Whether the console and the log of the VM stay in the store, for a job that failed. */
  readonly keepLogs: boolean;
  readonly log: Log;
}

/**
 * Destroys a VM and all that the store has of it. Needs only the name; a VM that is not there, or half made, or whose
 * record is damaged, is success. That its logs could not be kept is only a warning: the VM is what costs.
 *
 * @returns where the logs are, when they were kept
 */
export async function cleanup(
  host: Host,
  name: string,
  { keepLogs, log }: CleanupOptions,
): Promise<{ readonly logs: string | undefined }> {
  const logs = keepLogs ? await keep(host, name, log) : undefined;
  const wasThere = await isThere(host, name);
  for (const provider of await providersOf(host, name)) await provider.destroy(name);
  if (wasThere) await host.store.events.add('vm', 'destroyed', name, {}, log);
  return { logs };
}

/** Only for the word that it is gone: what cannot be looked at must be destroyed all the same. */
async function isThere(host: Host, name: string): Promise<boolean> {
  try {
    return (await host.store.vms.names()).includes(name);
  } catch {
    return false;
  }
}

async function keep(host: Host, name: string, log: Log): Promise<string | undefined> {
  try {
    const kept = await archiveLogs(host.store.paths, name, host.store.vms.paths(name));
    await oldLogs(host.store.paths, host.config.keep, { dryRun: false, now: Date.now() });
    return kept;
  } catch (error) {
    log.warn(`the logs of VM ${name} are lost: ${toVmRunnerError(error).message}`);
    return undefined;
  }
}

/** A record that is gone or damaged names no provider; each of them knows how to find what it started. */
async function providersOf(host: Host, name: string): Promise<readonly Provider[]> {
  try {
    const record = await host.store.vms.read(name);
    return record === undefined ? host.providers : [host.providerNamed(record.provider)];
  } catch (error) {
    if (error instanceof VmRunnerError && error.code === 'store-damaged') return host.providers;
    throw error;
  }
}
