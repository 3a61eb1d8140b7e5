import { writeFile } from 'node:fs/promises';

import { fileError } from '../../core/errors.js';
import type { ProcessIdentity } from '../../core/process-identity.js';
import { confined } from '../../process/confine.js';
import { startDaemon } from '../../process/daemon.js';
import { endProcess } from '../../process/end.js';
import type { VmRecord } from '../../store/record.js';
import { waitUntilUp } from '../vm-process.js';
import { EVENTS_MONITOR } from './machine.js';
import type { QemuHost, VmPlan } from './plan.js';
import { giveAway, takeBack } from './reach.js';
import { QEMU_INSTALL_HINT } from './version.js';

/** From the start of QEMU to the first answer on its control socket; a loaded host takes seconds. */
export const START_TIMEOUT_MS = 30_000;

/** @param descriptors open files that it gets as its descriptors 3, 4 and so on */
export async function startQemu(
  { processes, searchPath }: QemuHost,
  { confinement, paths }: Pick<VmPlan, 'confinement' | 'paths'>,
  argv: readonly string[],
  descriptors: readonly number[] = [],
): Promise<ProcessIdentity> {
  const opening = { pipe: paths.eventsInput, text: '{"execute":"qmp_capabilities"}' };
  const tells = argv.includes(EVENTS_MONITOR);
  if (tells) await makeEventsFile(paths.events);
  giveAway(confinement.user, [paths.events]);
  return startDaemon(confined(argv, confinement, tells ? opening : undefined), {
    processes,
    logFile: paths.vmmLog,
    descriptors,
    // Nothing of the job's environment, where secrets are, is for a process that a guest may break into.
    env: { PATH: searchPath },
    installHint: QEMU_INSTALL_HINT,
  });
}

/** QEMU opens it in place; what another one left there is not of this one. */
async function makeEventsFile(file: string): Promise<void> {
  try {
    await writeFile(file, '', { mode: 0o600 });
  } catch (cause) {
    throw fileError('make a file of a VM', file, cause);
  }
}

export interface LaunchOptions {
  readonly descriptors?: readonly number[];
  /** What the record is to say, besides which process it is. */
  readonly record: Pick<VmRecord, 'template'>;
  /** One try; false means not yet. */
  readonly isUp: (signal: AbortSignal) => Promise<boolean>;
  readonly signal: AbortSignal;
}

/** Starts the QEMU of a VM and waits until it is up, while the record learns which process that is. One that fails is ended. */
export async function launch(
  host: QemuHost,
  plan: VmPlan,
  argv: readonly string[],
  { descriptors, record, isUp, signal }: LaunchOptions,
): Promise<VmRecord> {
  const { store, processes } = host;
  const { name, paths, confinement } = plan;
  giveAway(confinement.user, [paths.directory, paths.disk, paths.memory]);
  const vmm = await startQemu(host, plan, argv, descriptors);
  const recorded = store.vms.update(name, { vmm, ...record });
  // It is waited for in any case; here only so that it cannot fail unheard before.
  recorded.catch(() => undefined);
  try {
    const started = { program: 'QEMU', process: vmm, logFile: paths.vmmLog };
    await waitUntilUp(started, { processes, isUp, timeoutMs: START_TIMEOUT_MS, signal });
    // It has made its sockets and opened its files, and no byte of a job has run yet.
    takeBack(confinement.user, [paths.directory]);
    return await recorded;
  } catch (error) {
    await recorded.catch(() => undefined);
    // First the record: one that names a process that is gone is somebody's to reap.
    await store.vms.update(name, { vmm: undefined, template: undefined });
    await endProcess(processes, vmm, 0);
    throw error;
  }
}
