import { existsSync } from 'node:fs';

import { abortReason } from '../../core/deadline.js';
import { toVmRunnerError, VmRunnerError } from '../../core/errors.js';
import type { VmRecord } from '../../store/record.js';
import type { CreateRequest } from '../provider.js';
import { waitsFor, waitUntilUp } from '../vm-process.js';
import { loadState } from './clone.js';
import { START_TIMEOUT_MS } from './launch.js';
import type { QemuHost, StartContext } from './plan.js';
import type { Means } from './plan-vm.js';
import { lastLine, prove } from './start.js';
import type { Template, TemplateStore } from './templates.js';

/** Who wants a VM that waits. */
export interface Claim {
  readonly provider: string;
  readonly request: CreateRequest;
  /** Of the template that the VM must have. */
  readonly key: string;
  readonly means: Pick<Means, 'confinement'>;
}

/** Whether a VM waits that is what would be made for a request: also not confined less, and with no other memory. */
export function fits(
  record: VmRecord,
  { provider, request, key, means }: Claim,
  { processes, store, isolateTemplates }: QemuHost,
): boolean {
  return (
    waitsFor(record, { provider, request, processes }) &&
    record.template === key &&
    (record.vmmUid !== undefined) === (means.confinement.groups !== undefined) &&
    existsSync(store.vms.paths(record.name).memory) === isolateTemplates
  );
}

/**
 * Has the QEMU of a VM that was taken over load its guest.
 * @returns whether it runs; a line says why it does not
 */
export async function runClaimed(
  host: QemuHost,
  templates: TemplateStore,
  template: Template,
  record: VmRecord,
  context: StartContext,
): Promise<boolean> {
  const { log, signal } = context;
  const { store, processes } = host;
  const { qmp, vmmLog } = store.vms.paths(record.name);
  const { vmm } = record;
  if (vmm === undefined) throw new VmRunnerError('internal', 'a VM waited that has no process');
  try {
    const started = { program: 'QEMU', process: vmm, logFile: vmmLog, ended: 'ended before its guest ran' };
    const isUp = (tried: AbortSignal): Promise<boolean> => loadState(qmp, tried);
    await waitUntilUp(started, { processes, isUp, timeoutMs: START_TIMEOUT_MS, signal });
    await prove(host, templates, template, record, context);
    return true;
  } catch (error) {
    if (signal.aborted) throw abortReason(signal);
    const { message, detail } = toVmRunnerError(error);
    log.warn(`the VM that waited cannot be used, another one is made: ${message}${lastLine(detail)}`);
    return false;
  }
}
