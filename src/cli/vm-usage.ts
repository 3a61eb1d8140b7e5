import { Deadline } from '../core/deadline.js';
import { VmRunnerError } from '../core/errors.js';
import { GuestAgent } from '../guest/agent.js';
import { processUsage, type ProcessUsage } from '../process/usage.js';
import type { Host } from '../providers/provider.js';
import { fileBytes } from '../store/disk-use.js';
import type { VmRecord } from '../store/record.js';

/** What a VM uses now. */
export interface VmUsage {
  readonly record: VmRecord;
  /** When it was looked at, as `performance.now()` counts. */
  readonly at: number;
  /** Of the process that runs it; `undefined` when there is none. */
  readonly vmm: ProcessUsage | undefined;
  /** What its own disk takes of the host's, in bytes; `undefined` when it has none. */
  readonly diskBytes: number | undefined;
  /** What its guest says; `undefined` when that is not up yet, does not answer, or cannot tell. */
  readonly guest: GuestUsage | undefined;
}

export interface GuestUsage {
  readonly uptimeMs: number;
  readonly cpuBusyMs: number;
  readonly memoryBytes: number;
  readonly memoryAvailableBytes: number;
  readonly receivedBytes: number;
  readonly sentBytes: number;
  readonly tasks: number;
}

/** A guest that is busy or hangs must not keep the others from being shown. */
const GUEST_TIMEOUT_MS = 2000;

/** Looks at VMs, all at once. */
export async function measureVms(
  host: Host,
  records: readonly VmRecord[],
  signal: AbortSignal,
): Promise<readonly VmUsage[]> {
  return await Promise.all(records.map((record) => measureVm(host, record, signal)));
}

async function measureVm(host: Host, record: VmRecord, signal: AbortSignal): Promise<VmUsage> {
  const [guest, diskBytes] = await Promise.all([
    askGuest(host, record, signal),
    fileBytes(host.store.vms.paths(record.name).disk),
  ]);
  const vmm = record.vmm === undefined ? undefined : processUsage(record.vmm, host.processes);
  return { record, at: performance.now(), vmm, diskBytes, guest };
}

async function askGuest(
  { processes }: Host,
  { state, endpoint }: VmRecord,
  signal: AbortSignal,
): Promise<GuestUsage | undefined> {
  // Until it is ready whoever makes it wants its ports.
  if (state !== 'ready') return undefined;
  const silent = (): VmRunnerError => new VmRunnerError('agent-unreachable', 'guest did not say in time what it uses');
  // Its timer also keeps the process, which nothing else does while a connection is made.
  using deadline = new Deadline(GUEST_TIMEOUT_MS, silent, signal);
  try {
    await using agent = await GuestAgent.connect(endpoint, { processes, signal: deadline.signal });
    if (!agent.capabilities.includes('usage')) return undefined;
    const usage = await agent.usage(deadline.signal);
    return {
      uptimeMs: Number(usage.uptimeMs),
      cpuBusyMs: Number(usage.cpuBusyMs),
      memoryBytes: Number(usage.memoryBytes),
      memoryAvailableBytes: Number(usage.memoryAvailableBytes),
      receivedBytes: Number(usage.receivedBytes),
      sentBytes: Number(usage.sentBytes),
      tasks: usage.tasks,
    };
  } catch (error) {
    if (signal.aborted) throw error;
    return undefined;
  }
}
