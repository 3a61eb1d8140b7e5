import { readFile } from 'node:fs/promises';

import { abortReason, Deadline, delay } from '../core/deadline.js';
import { fileError, systemCode, VmRunnerError } from '../core/errors.js';
import { DEFAULT_DISK_MIB } from '../core/job.js';
import type { ProcessIdentity, ProcessTable } from '../core/process-identity.js';
import { formatDuration } from '../core/units.js';
import { endProcess, findByArgument } from '../process/end.js';
import { readLastLines } from '../store/logs.js';
import type { VmPaths } from '../store/paths.js';
import type { VmRecord } from '../store/record.js';
import type { Store } from '../store/store.js';
import { isVmName } from '../store/vms.js';
import { writeWhole } from '../store/whole-file.js';
import type { CreateRequest } from './provider.js';

/** What a provider says of its VMs. */
type Made = Pick<VmRecord, 'provider' | 'endpoint'>;

/** The record of a VM whose process is about to be started. @throws invalid-input when it cannot have that name. */
export function newRecord(request: CreateRequest, made: Made, now = Date.now()): VmRecord {
  const {
    name,
    incarnation,
    image,
    boot,
    cpus,
    memoryMiB,
    diskMiB = DEFAULT_DISK_MIB,
    network,
    owner,
    expiresAt,
    frontEnd,
    job,
  } = request;
  if (!isVmName(name)) {
    throw new VmRunnerError('invalid-input', 'not a name for a VM', {
      subject: name,
      hint: 'Use 1 to 40 small letters, digits and dashes, with no dash at either end.',
    });
  }
  return {
    version: 1,
    ...{ name, incarnation, image, cpus, memoryMiB, diskMiB, network, owner, expiresAt, frontEnd, job },
    imageDigest: (boot?.image ?? boot?.base.root)?.digest,
    template: undefined,
    workingDirectory: undefined,
    user: undefined,
    ...made,
    state: 'creating',
    createdAt: now,
    vmm: undefined,
  };
}

/** Whether a VM waits that is what would be made for a request, as far as its record tells. */
export function waitsFor(
  record: VmRecord,
  { provider, request, processes }: { provider: string; request: CreateRequest; processes: ProcessTable },
): boolean {
  const { boot, diskMiB = DEFAULT_DISK_MIB } = request;
  const { owner, vmm } = record;
  return (
    record.state === 'pooled' &&
    record.provider === provider &&
    record.imageDigest === (boot?.image ?? boot?.base.root)?.digest &&
    record.cpus === request.cpus &&
    record.memoryMiB === request.memoryMiB &&
    record.diskMiB === diskMiB &&
    record.network === request.network &&
    // An orphan is for the reaper.
    owner !== undefined &&
    processes.isAlive(owner) &&
    vmm !== undefined &&
    processes.isAlive(vmm)
  );
}

/**
 * Makes a VM that waits the one of a request. Whoever is killed meanwhile leaves it under its old or its new name, with its process
 * in the record: it is the pool's then, or an orphan.
 * @param fits whether it is still what is wanted
 * @returns `undefined` when it is not, or when somebody else is taking it
 * @throws invalid-input when a VM of the new name exists.
 */
export async function takeOver(
  { vms }: Store,
  name: string,
  { request, made, fits }: { request: CreateRequest; made: Made; fits: (record: VmRecord) => boolean },
): Promise<VmRecord | undefined> {
  const lock = await vms.tryLock(name);
  if (lock === undefined) return undefined;
  try {
    return await vms.rename(name, request.name, (record) => {
      if (!fits(record)) return undefined;
      const { template, vmm } = record;
      return { ...newRecord(request, made), template, vmm };
    });
  } finally {
    await lock.release();
  }
}

/** What is waited for takes a tenth of a second, and a look costs a hundredth of this. */
const POLL_MS = 2;
const LOG_TAIL_LINES = 15;

/**
 * Waits until the process that was just started answers.
 * @param isUp one try; false means not yet
 * @throws vm-start-failed with the end of the log when the process is gone, or does not answer in time.
 */
export async function waitUntilUp(
  started: {
    readonly program: string;
    readonly process: ProcessIdentity;
    readonly logFile: string;
    /** What it did when it is gone. Default: it ended as soon as it was started. */
    readonly ended?: string;
  },
  options: {
    readonly processes: ProcessTable;
    readonly isUp: (signal: AbortSignal) => Promise<boolean>;
    readonly timeoutMs: number;
    readonly signal: AbortSignal;
  },
): Promise<void> {
  const { processes, isUp, timeoutMs, signal } = options;
  const { ended = 'ended as soon as it was started' } = started;
  const late = `${started.program} did not answer within ${formatDuration(timeoutMs)}`;
  using deadline = new Deadline(timeoutMs, () => new VmRunnerError('vm-start-failed', late), signal);
  try {
    // The process is looked at before it is asked, so that "gone" is never mistaken for "not yet".
    for (;;) {
      if (!processes.isAlive(started.process)) {
        throw new VmRunnerError('vm-start-failed', `${started.program} ${ended}`);
      }
      if (await isUp(deadline.signal)) return;
      await delay(POLL_MS, deadline.signal);
    }
  } catch (error) {
    if (signal.aborted) throw abortReason(signal);
    if (!(error instanceof VmRunnerError) || error.code !== 'vm-start-failed') throw error;
    // Evidence for an error that is thrown anyway, also when it cannot be read.
    const detail = await readLastLines(started.logFile, LOG_TAIL_LINES).catch(() => '');
    throw new VmRunnerError('vm-start-failed', error.reason, { detail, cause: error });
  }
}

export interface DestroyOptions {
  /** Arguments that only processes of this VM were started with: they find those that no record names. */
  readonly commandLine: (paths: VmPaths) => readonly string[];
  /** How long the process may take to end by itself. */
  readonly graceMs: number;
  /** What else is to go when nothing runs any more; the record is `undefined` when it cannot be read. */
  readonly ended?: (record: VmRecord | undefined) => Promise<void>;
}

/** Ends the process of a VM and removes all that the store has of it, whatever state that is in. */
export async function destroyVm(
  { store, processes }: { readonly store: Store; readonly processes: ProcessTable },
  name: string,
  { commandLine, graceMs, ended }: DestroyOptions,
): Promise<void> {
  // Nothing of that name can ever have been made, and a path must not be made of it.
  if (!isVmName(name)) return;
  const record = await readableRecord(store, name);
  const recorded = record?.vmm;
  const running = recorded === undefined ? await findUnrecorded({ store, processes }, name, commandLine) : [recorded];
  await Promise.all(running.map((identity) => endProcess(processes, identity, graceMs)));
  await ended?.(record);
  await store.vms.remove(name);
}

/** Those that were started for a VM of that name, also when it had another one then, and are not some other VM's by now. */
async function findUnrecorded(
  { store, processes }: { readonly store: Store; readonly processes: ProcessTable },
  name: string,
  commandLine: DestroyOptions['commandLine'],
): Promise<readonly ProcessIdentity[]> {
  const launchedAs = await readLaunchedAs(store.vms.paths(name));
  const names = [name, ...(launchedAs === undefined ? [] : [launchedAs])];
  const found = names
    .flatMap((one) => commandLine(store.vms.paths(one)))
    .flatMap((argument) => findByArgument(processes, argument));
  if (found.length === 0) return [];
  const { records } = await store.vms.list();
  const others = new Set(records.filter((other) => other.name !== name).map(({ vmm }) => vmm?.pid));
  return found.filter(({ pid }) => !others.has(pid));
}

/** Written before its process is started, so that it can be found whatever becomes of its record. */
export async function writeLaunchedAs({ launchedAs }: VmPaths, name: string): Promise<void> {
  await writeWhole(launchedAs, name);
}

async function readLaunchedAs({ launchedAs }: VmPaths): Promise<string | undefined> {
  try {
    const name = await readFile(launchedAs, 'utf8');
    return isVmName(name) ? name : undefined;
  } catch (cause) {
    if (systemCode(cause) === 'ENOENT') return undefined;
    throw fileError('read a file of a VM', launchedAs, cause);
  }
}

async function readableRecord(store: Store, name: string): Promise<VmRecord | undefined> {
  try {
    return await store.vms.read(name);
  } catch (error) {
    // A damaged record names no process; the argument finds it.
    if (error instanceof VmRunnerError && error.code === 'store-damaged') return undefined;
    throw error;
  }
}
