import { closeSync, openSync } from 'node:fs';

import { fileError, VmRunnerError } from '../../core/errors.js';
import { runProgram } from '../../process/run.js';
import type { VmRecord } from '../../store/record.js';
import { launch, START_TIMEOUT_MS } from './launch.js';
import { qemuArguments, type Memory } from './machine.js';
import { makeOverlay } from './overlay.js';
import { letOpenMemory, letReach } from './reach.js';
import { plannedMachine, type QemuHost, type StartContext, type VmPlan } from './plan.js';
import { QmpClient } from './qmp.js';
import type { Template } from './templates.js';
import { opensMemoryReadOnly } from './version.js';

/** The descriptor by which QEMU gets the state. */
const STATE_DESCRIPTOR = 3;

/** Starts a VM where its template was saved. Returns when the guest runs. */
export async function cloneVm(
  host: QemuHost,
  plan: VmPlan,
  template: Template,
  context: Pick<StartContext, 'signal'>,
): Promise<VmRecord> {
  return launchClone(host, plan, template, loadState, context);
}

/**
 * Starts the QEMU of a clone, with everything of its template open: from then on that may be removed.
 * @param isUp whether what is waited for has come: {@link loadState}, or only that QEMU answers
 */
export async function launchClone(
  host: QemuHost,
  plan: VmPlan,
  { paths: template, description }: Template,
  isUp: (socket: string, signal: AbortSignal) => Promise<boolean>,
  { signal }: Pick<StartContext, 'signal'>,
): Promise<VmRecord> {
  const { paths, confinement } = plan;
  if (confinement.user !== undefined) letReach(host.store.paths, [template.scratch]);
  await makeOverlay(paths.disk, { file: template.scratch, format: 'qcow2' });
  const argv = qemuArguments({
    ...plannedMachine(host, plan),
    memory: await privateMemory(host, plan, template.memory, signal),
    start: 'incoming',
  });
  const state = openState(template.state);
  try {
    return await launch(host, plan, argv, {
      descriptors: [state],
      record: { template: description.key },
      isUp: (tried) => isUp(paths.qmp, tried),
      signal,
    });
  } finally {
    closeSync(state);
  }
}

/** The template's memory, of which this guest changes a copy: made page by page as it writes, or of the whole file before. */
async function privateMemory(
  { isolateTemplates }: QemuHost,
  { qemu, paths, confinement }: VmPlan,
  memory: string,
  signal: AbortSignal,
): Promise<Memory> {
  if (isolateTemplates) {
    await runProgram(['cp', '--reflink=auto', '--sparse=always', memory, paths.memory], { signal });
    return { kind: 'file', path: paths.memory, access: 'private' };
  }
  const readOnly = opensMemoryReadOnly(qemu.version);
  if (confinement.user !== undefined) letOpenMemory(memory, readOnly ? 'read' : 'write');
  return { kind: 'file', path: memory, access: readOnly ? 'private-read-only' : 'private' };
}

function openState(file: string): number {
  try {
    return openSync(file, 'r');
  } catch (cause) {
    throw fileError('read a file of a template', file, cause);
  }
}

/** Has QEMU load the state that it was given, and waits until the guest runs. False when QEMU does not listen yet. */
export async function loadState(socket: string, signal: AbortSignal): Promise<boolean> {
  const capabilities = [{ capability: 'x-ignore-shared', state: true }];
  const commands = [
    { execute: 'migrate-set-capabilities', arguments: { capabilities } },
    { execute: 'migrate-incoming', arguments: { uri: `fd:${STATE_DESCRIPTOR}` } },
  ];
  try {
    const opening = { commands, event: 'RESUME' };
    using client = await QmpClient.connect(socket, { signal, timeoutMs: START_TIMEOUT_MS }, opening);
    return client !== undefined;
  } catch (error) {
    // A load that fails ends QEMU: the next look at the process finds it gone, and its log has the reason.
    if (error instanceof VmRunnerError && error.code === 'vm-died') return false;
    throw error;
  }
}
