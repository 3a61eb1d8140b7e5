import type { VmRunnerError } from '../core/errors.js';
import type { Host } from '../providers/provider.js';
import { findOrphans, type OrphanReason } from '../stages/reap.js';
import { listEnded } from '../store/ended-vms.js';
import { NEVER, type VmRecord } from '../store/record.js';
import type { Demand } from '../store/room.js';

/** One VM as `ps` and `inspect` show it, whatever is left of it. */
export interface ListedVm {
  readonly name: string;
  /** `damaged`: its record cannot be read, or a newer vm-runner wrote it; `unfinished`: it has none (yet). */
  readonly state: 'pooled' | 'creating' | 'ready' | 'kept' | 'orphan' | 'damaged' | 'unfinished' | 'ended' | 'waiting';
  readonly record: VmRecord | undefined;
  readonly orphan: OrphanReason | undefined;
  /** Why the record cannot be read. */
  readonly error: VmRunnerError | undefined;
  /** Milliseconds since 1970; `undefined` for a VM that is still there. */
  readonly endedAt: number | undefined;
  /** What it waits for in the queue for room. */
  readonly waiting: Waiting | undefined;
}

export interface Waiting {
  /** Counts from 1. */
  readonly place: number;
  /** Milliseconds since 1970. */
  readonly since: number;
  readonly demand: Demand;
}

const NOTHING = { record: undefined, orphan: undefined, error: undefined, endedAt: undefined, waiting: undefined };

/** Every VM that the store knows of, oldest first; behind them those without a readable record. */
export async function listVms(host: Host): Promise<readonly ListedVm[]> {
  const { records, damaged } = await host.store.vms.list();
  const orphans = new Map((await findOrphans(host)).map(({ name, reason }) => [name, reason]));
  const orphan = (name: string): OrphanReason | undefined => orphans.get(name);
  const known = new Set([...records, ...damaged].map(({ name }) => name));
  const unfinished = (await host.store.vms.names()).filter((name) => !known.has(name));
  return [
    ...records.map((record) => ({
      ...NOTHING,
      ...{ name: record.name, record, orphan: orphan(record.name) },
      state: stateOf(record, orphan(record.name)),
    })),
    ...damaged.map(({ name, error }) => ({
      ...NOTHING,
      ...{ name, error, orphan: orphan(name), state: 'damaged' as const },
    })),
    ...unfinished.map((name) => ({
      ...NOTHING,
      ...{ name, orphan: orphan(name), state: 'unfinished' as const },
    })),
  ];
}

/** Jobs that wait for room, first come first; their VMs do not exist yet. */
export async function listWaiting({ capacity }: Pick<Host, 'capacity'>): Promise<readonly ListedVm[]> {
  const { queue } = await capacity.snapshot();
  return queue.map(({ name, since, demand }, index) => ({
    ...NOTHING,
    ...{ name, state: 'waiting' as const, waiting: { place: index + 1, since, demand } },
  }));
}

/** VMs that are gone and whose logs are kept, unless one of that name is there again. */
export async function listEndedVms(host: Host): Promise<readonly ListedVm[]> {
  const there = new Set(await host.store.vms.names());
  const ended = (await listEnded(host.store.paths)).filter(({ name }) => !there.has(name));
  return ended.map((vm) => ({ ...NOTHING, ...vm, state: 'ended' as const }));
}

function stateOf(record: VmRecord, orphan: OrphanReason | undefined): ListedVm['state'] {
  if (orphan !== undefined) return 'orphan';
  return record.state === 'ready' && isKept(record) ? 'kept' : record.state;
}

/** Whether it was asked to stay after its job. */
export function isKept({ owner, expiresAt }: VmRecord): boolean {
  return owner === undefined && expiresAt < NEVER;
}

/** What `ps --json` and `inspect` tell: the record as it is, and beside it what is known of it. */
export function vmJson({ name, state, record, orphan, error, endedAt, waiting }: ListedVm): Record<string, unknown> {
  const shown = record === undefined || endedAt !== undefined ? state : record.state;
  return {
    ...{ name, ...record, state: shown, orphan: orphan ?? null },
    ...(error === undefined ? {} : { error: { code: error.code, message: error.message } }),
    ...(endedAt === undefined ? {} : { endedAt }),
    ...(waiting === undefined ? {} : { waiting }),
  };
}
