import { readFile } from 'node:fs/promises';

import { fileError, systemCode } from '../core/errors.js';
import { DEFAULT_DISK_MIB } from '../core/job.js';
import { parseProcessIdentity, type ProcessIdentity } from '../core/process-identity.js';
import type { Demand } from './room.js';
import type { VmRecords } from './vms.js';

/** What one VM holds of its host. */
export interface Holding {
  readonly name: string;
  readonly incarnation: string | undefined;
  /** `undefined` when its record does not say. */
  readonly demand: Demand | undefined;
  readonly vmm: ProcessIdentity | undefined;
}

/**
 * What all VMs hold that have a record. Reads of it only what it needs: also a record that a newer vm-runner wrote, or that lost
 * other fields, is of a VM that takes room.
 */
export async function readHoldings(vms: VmRecords): Promise<readonly Holding[]> {
  return vms.collect((name) => readHolding(name, vms.paths(name).record));
}

async function readHolding(name: string, record: string): Promise<Holding | undefined> {
  let text: string;
  try {
    text = await readFile(record, 'utf8');
  } catch (cause) {
    // Not there yet: then its ticket counts. Or not any more.
    if (systemCode(cause) === 'ENOENT') return undefined;
    throw fileError('read the record of a VM', record, cause);
  }
  const fields = fieldsOf(text);
  const { incarnation } = fields;
  return {
    name,
    incarnation: typeof incarnation === 'string' ? incarnation : undefined,
    demand: demandOf(fields),
    vmm: parseProcessIdentity(fields['vmm']),
  };
}

function fieldsOf(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>) : {};
  } catch {
    return {};
  }
}

/** What a record or a ticket says that a VM takes; `undefined` when it does not. */
export function demandOf({ cpus, memoryMiB, diskMiB }: Readonly<Record<string, unknown>>): Demand | undefined {
  if (!isAmount(cpus) || !isAmount(memoryMiB)) return undefined;
  return { cpus, memoryMiB, diskMiB: isAmount(diskMiB) ? diskMiB : DEFAULT_DISK_MIB };
}

function isAmount(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0;
}
