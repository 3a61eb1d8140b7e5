import type { Host } from '../providers/provider.js';
import { archiveLogs } from '../store/logs.js';

export interface CleanupOptions {
  /** Whether the console and the log of the VM stay in the store, for a job that failed. */
  readonly keepLogs: boolean;
}

/**
 * Destroys a VM and all that the store has of it. Needs only the name; a VM that is not there, or half made, or whose
 * record is damaged, is success. Everything is tried before the first error is thrown.
 *
 * @returns where the logs are, when they were kept
 */
export async function cleanup(
  host: Host,
  name: string,
  options: CleanupOptions,
): Promise<{ readonly logs: string | undefined }> {
  const failures: unknown[] = [];
  const attempt = async <T>(work: () => Promise<T>): Promise<T | undefined> => {
    try {
      return await work();
    } catch (error) {
      failures.push(error);
      return undefined;
    }
  };
  const logs = options.keepLogs
    ? await attempt(() => archiveLogs(host.store.paths, name, host.store.vms.paths(name)))
    : undefined;
  await attempt(async () => (await providerOf(host, name)).destroy(name));
  if (failures.length > 0) throw failures[0];
  return { logs };
}

/** A record that is gone or damaged names no provider: then the host's own must know what to do with the rest. */
async function providerOf(host: Host, name: string): Promise<Host['provider']> {
  try {
    const record = await host.store.vms.read(name);
    return record === undefined ? host.provider : host.providerNamed(record.provider);
  } catch {
    // Damaged records are told by `ps` and `gc`; here the VM only has to go.
    return host.provider;
  }
}
