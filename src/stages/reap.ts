import { stat } from 'node:fs/promises';

import { VmRunnerError, systemCode, toVmRunnerError } from '../core/errors.js';
import type { Log } from '../core/log.js';
import type { Host } from '../providers/provider.js';
import { boundConsole } from '../store/logs.js';
import type { VmRecord } from '../store/record.js';
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
  const orphans: Orphan[] = [];
  for (const name of await host.store.vms.names()) {
    const reason = await orphanReason(host, name, now);
    if (reason !== undefined) orphans.push({ name, reason });
  }
  return orphans;
}

async function orphanReason(
  host: Pick<Host, 'store' | 'processes'>,
  name: string,
  now: number,
): Promise<OrphanReason | undefined> {
  let record: VmRecord | undefined;
  try {
    record = await host.store.vms.read(name);
  } catch (error) {
    if (error instanceof VmRunnerError && error.code === 'store-damaged') return 'record is damaged';
    // A newer vm-runner knows whose it is.
    if (error instanceof VmRunnerError && error.code === 'store-newer') return undefined;
    throw error;
  }
  if (record === undefined) return (await ageOf(host, name, now)) > HALF_MADE_AGE_MS ? 'was never finished' : undefined;
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

/**
 * Removes all orphans, and shortens the consoles of the others. What cannot be done for one VM is warned about and does not
 * keep the others.
 */
export async function reapOrphans(host: Host, log: Log, now = Date.now()): Promise<readonly Orphan[]> {
  const reaped: Orphan[] = [];
  for (const name of await host.store.vms.names()) {
    try {
      await boundConsole(host.store.vms.paths(name).console);
    } catch (error) {
      log.warn(toVmRunnerError(error).message);
    }
  }
  for (const { name } of await findOrphans(host, now)) {
    try {
      const reason = await reap(host, name, log, now);
      if (reason === undefined) continue;
      reaped.push({ name, reason });
      log.info(`removed VM ${name}: ${reason}`);
    } catch (error) {
      log.warn(`cannot remove VM ${name}: ${toVmRunnerError(error).message}`);
    }
  }
  return reaped;
}

/**
 * Destroys one orphan, if it still is one: since it was found, another process may have reaped it and made a new VM of that
 * name. One reaper a name at a time, and it looks again.
 */
async function reap(host: Host, name: string, log: Log, now: number): Promise<OrphanReason | undefined> {
  const lock = await host.store.vms.lock(name);
  try {
    const reason = await orphanReason(host, name, now);
    if (reason === undefined) return undefined;
    await cleanup(host, name, { keepLogs: true, log });
    await host.store.events.add('vm', 'reaped', name, { reason }, log);
    return reason;
  } finally {
    await lock.release();
  }
}
