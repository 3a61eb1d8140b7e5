import { toVmRunnerError, type VmRunnerError } from '../core/errors.js';
import type { CollectOptions, Garbage } from '../core/garbage.js';
import type { Log } from '../core/log.js';
import type { Host } from '../providers/provider.js';
import { bytesBelow } from '../store/disk-use.js';
import { oldLogs } from '../store/kept-logs.js';
import { deadLocks } from '../store/lock.js';
import { abandoned } from '../store/temporary.js';
import { findOrphans, reapOrphans } from './reap.js';

/** What came of a collection. */
export interface Collected {
  readonly garbage: readonly Garbage[];
  /** What could not be looked at or taken away; the rest was, all the same. */
  readonly failures: readonly VmRunnerError[];
}

export interface GcOptions extends CollectOptions {
  readonly log: Log;
  readonly signal: AbortSignal;
}

/**
 * Takes away, or tells, everything on this host that nobody needs, by the rules of the host file: orphans, half-made things,
 * templates, images, layers, downloads, logs and locks. Never what is in use; anyone may do it at any time, several at once.
 */
export async function collectGarbage(host: Host, { log, signal, ...how }: GcOptions): Promise<Collected> {
  const { store, processes, images, templates, config } = host;
  const { keep, budgets } = config;
  const steps: readonly (() => Promise<readonly Garbage[]>)[] = [
    // First the VMs, which need images and templates; and their logs are kept.
    () => orphans(host, log, how),
    () => abandoned(store.paths, processes, how),
    () => outsideStore(host, how),
    () => templates.prune({ unusedMs: keep.templatesMs, budgetBytes: budgets.templatesBytes }, how),
    () => images.sweep({ ...how, signal, rules: rulesOf(host) }),
    () => oldLogs(store.paths, keep, how),
    () => deadLocks(store.paths.locks, processes, how),
  ];
  const garbage: Garbage[] = [];
  const failures: VmRunnerError[] = [];
  for (const step of steps) {
    try {
      garbage.push(...(await step()));
    } catch (error) {
      if (signal.aborted) throw error;
      failures.push(toVmRunnerError(error));
    }
  }
  if (!how.dryRun) await told(host, garbage, log);
  return { garbage, failures };
}

/** What goes every minute on a busy host is no news when it was nothing. */
async function told(host: Host, garbage: readonly Garbage[], log: Log): Promise<void> {
  if (garbage.length === 0) return;
  const bytes = garbage.reduce((sum, one) => sum + one.bytes, 0);
  await host.store.events.add('store', 'collected', '', { things: garbage.length, bytes }, log);
}

function rulesOf({ config: { keep, budgets } }: Host): Parameters<Host['images']['sweep']>[0]['rules'] {
  return {
    budgetBytes: budgets.imagesBytes,
    unusedMs: keep.imagesMs,
    downloadsBytes: budgets.downloadsBytes,
  };
}

async function outsideStore({ providers }: Host, how: CollectOptions): Promise<readonly Garbage[]> {
  const swept = await Promise.all(providers.map(async (provider) => (await provider.sweep?.(how)) ?? []));
  return swept.flat();
}

async function orphans(host: Host, log: Log, { dryRun, now }: CollectOptions): Promise<readonly Garbage[]> {
  const found = await findOrphans(host, now);
  const sizes = new Map<string, number>();
  for (const { name } of found) sizes.set(name, await bytesBelow(host.store.vms.paths(name).directory));
  const gone = dryRun ? found : await reapOrphans(host, log, now);
  return gone.map(({ name, reason }) => ({ kind: 'vm', name, reason, bytes: sizes.get(name) ?? 0 }));
}
