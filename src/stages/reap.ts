import { stat } from 'node:fs/promises';

import { VmRunnerError, systemCode, toVmRunnerError } from '../core/errors.js';
import type { Log } from '../core/log.js';
import type { Host } from '../providers/provider.js';
import type { VmRecord } from '../store/record.js';
import { removeAbandoned } from '../store/temporary.js';
import { cleanup } from './cleanup.js';

/** Why a VM is nobody's any more. */
export type OrphanReason = 'owner is gone' | 'time is over' | 'VM ended' | 'record is damaged' | 'was never finished';

export interface Orphan {
  readonly name: string;
  readonly reason: OrphanReason;
}

/** A directory without a record is being made right now, unless it is older than this. */
const HALF_MADE_AGE_MS = 60_000;

/** The VMs that nobody wants any more. Never one whose owner lives and whose time is not over. */
export async function findOrphans(
  host: Pick<Host, 'store' | 'processes'>,
  now = Date.now(),
): Promise<readonly Orphan[]> {
  const { records, damaged } = await host.store.vms.list();
  const orphans: Orphan[] = [];
  for (const record of records) {
    const reason = orphanReason(host, record, now);
    if (reason !== undefined) orphans.push({ name: record.name, reason });
  }
  for (const { name } of damaged) orphans.push({ name, reason: 'record is damaged' });
  const known = new Set([...records.map((record) => record.name), ...damaged.map((vm) => vm.name)]);
  for (const name of await host.store.vms.names()) {
    if (!known.has(name) && (await ageOf(host, name, now)) > HALF_MADE_AGE_MS)
      orphans.push({ name, reason: 'was never finished' });
  }
  return orphans;
}

function orphanReason(host: Pick<Host, 'processes'>, record: VmRecord, now: number): OrphanReason | undefined {
  if (record.owner !== undefined && !host.processes.isAlive(record.owner)) return 'owner is gone';
  if (now > record.expiresAt) return 'time is over';
  // A VM without an owner that ended is only a directory; with an owner the owner tells its job first.
  const ended = record.vmm !== undefined && !host.processes.isAlive(record.vmm);
  return record.owner === undefined && ended ? 'VM ended' : undefined;
}

async function ageOf(host: Pick<Host, 'store'>, name: string, now: number): Promise<number> {
  try {
    return now - (await stat(host.store.vms.paths(name).directory)).mtimeMs;
  } catch (cause) {
    // Gone in the meantime: nothing to reap.
    if (systemCode(cause) === 'ENOENT') return 0;
    throw cause;
  }
}

/** Removes all orphans. One that cannot be removed is warned about and does not keep the others. */
export async function reapOrphans(host: Host, log: Log): Promise<readonly Orphan[]> {
  const reaped: Orphan[] = [];
  for (const orphan of await findOrphans(host)) {
    try {
      await cleanup(host, orphan.name, { keepLogs: true });
      reaped.push(orphan);
      log.info(`removed VM ${orphan.name}: ${orphan.reason}`);
    } catch (error) {
      log.warn(`cannot remove VM ${orphan.name}: ${toVmRunnerError(error).message}`);
    }
  }
  return reaped;
}

export interface Collected {
  readonly orphans: readonly Orphan[];
  /** Directories of builds and downloads that nobody finishes. */
  readonly abandoned: readonly string[];
}

/** Everything that `vm-runner gc` takes away. Safe at any time, also twice at once. */
export async function collectGarbage(host: Host, log: Log): Promise<Collected> {
  const orphans = await reapOrphans(host, log);
  try {
    return { orphans, abandoned: await removeAbandoned(host.store.paths, host.processes) };
  } catch (error) {
    if (error instanceof VmRunnerError) throw error;
    throw toVmRunnerError(error);
  }
}
