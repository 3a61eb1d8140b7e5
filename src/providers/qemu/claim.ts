import { existsSync } from 'node:fs';

import { abortReason } from '../../core/deadline.js';
import { toVmRunnerError, VmRunnerError } from '../../core/errors.js';
import { DEFAULT_DISK_MIB } from '../../core/job.js';
import type { VmRecord } from '../../store/record.js';
import type { CreateRequest } from '../provider.js';
import { newRecord, waitUntilUp } from '../vm-process.js';
import { loadState } from './clone.js';
import { START_TIMEOUT_MS } from './launch.js';
import type { QemuHost, StartContext } from './plan.js';
import type { Means } from './plan-vm.js';
import { lastLine, prove } from './start.js';
import type { Template, TemplateStore } from './templates.js';

/** Who wants a VM that waits. */
export interface Claim {
  readonly host: QemuHost;
  readonly provider: string;
  readonly request: CreateRequest;
  /** Of the template that the VM must have. */
  readonly key: string;
  readonly means: Pick<Means, 'confinement'>;
}

/** Whether a VM waits and is what would be made for the request: also not confined less, and with no other memory. */
export function fits(record: VmRecord, { host, provider, request, key, means }: Claim): boolean {
  const { processes, store, isolateTemplates } = host;
  const { boot, network, diskMiB = DEFAULT_DISK_MIB } = request;
  const { owner, vmm } = record;
  return (
    record.state === 'pooled' &&
    record.provider === provider &&
    record.template === key &&
    record.imageDigest === (boot?.image ?? boot?.base.root)?.digest &&
    record.network === network &&
    record.diskMiB === diskMiB &&
    (record.vmmUid !== undefined) === (means.confinement.groups !== undefined) &&
    existsSync(store.vms.paths(record.name).memory) === isolateTemplates &&
    // An orphan is for the reaper.
    owner !== undefined &&
    processes.isAlive(owner) &&
    vmm !== undefined &&
    processes.isAlive(vmm)
  );
}

/**
 * Makes a VM that waits the one of the request. Whoever is killed meanwhile leaves it under its old or its new name, with its process in
 * the record: it is the pool's, or an orphan.
 * @returns `undefined` when somebody else has it by now
 */
export async function takeOver(name: string, claim: Claim): Promise<VmRecord | undefined> {
  const { host, provider, request } = claim;
  const { vms } = host.store;
  const lock = await vms.tryLock(name);
  if (lock === undefined) return undefined;
  try {
    const { agents } = vms.paths(request.name);
    const mine = newRecord(request, { provider, endpoint: { kind: 'serial', paths: agents } });
    return await vms.rename(name, request.name, (record) => {
      if (!fits(record, claim)) return undefined;
      const { template, vmm } = record;
      return { ...mine, template, vmm };
    });
  } finally {
    await lock.release();
  }
}

/**
 * Has the QEMU of a VM that was taken over load its guest.
 * @returns whether it runs; a line says why it does not
 */
export async function runClaimed(
  { store, processes }: QemuHost,
  templates: TemplateStore,
  template: Template,
  record: VmRecord,
  context: StartContext,
): Promise<boolean> {
  const { log, signal } = context;
  const { qmp, vmmLog } = store.vms.paths(record.name);
  const { vmm } = record;
  if (vmm === undefined) throw new VmRunnerError('internal', 'a VM waited that has no process');
  try {
    const started = { program: 'QEMU', process: vmm, logFile: vmmLog, ended: 'ended before its guest ran' };
    const isUp = (tried: AbortSignal): Promise<boolean> => loadState(qmp, tried);
    await waitUntilUp(started, { processes, isUp, timeoutMs: START_TIMEOUT_MS, signal });
    await prove(templates, template, record, context);
    return true;
  } catch (error) {
    if (signal.aborted) throw abortReason(signal);
    const { message, detail } = toVmRunnerError(error);
    log.warn(`the VM that waited cannot be used, another one is made: ${message}${lastLine(detail)}`);
    return false;
  }
}
