import { rm } from 'node:fs/promises';
import path from 'node:path';

import { abortReason } from '../../core/deadline.js';
import { fileError, toVmRunnerError, VmRunnerError } from '../../core/errors.js';
import type { TemplatePolicy } from '../../core/job.js';
import { endProcess } from '../../process/end.js';
import type { VmRecord } from '../../store/record.js';
import { bootVm } from './boot.js';
import { cloneVm } from './clone.js';
import { hostCpu } from './host-cpu.js';
import { obtainTemplate } from './obtain-template.js';
import type { QemuHost, StartContext, VmPlan } from './plan.js';
import { forgetRefusal, rememberRefusal } from './refusal.js';
import { templateKey } from './template-key.js';
import { TemplateStore, type Template } from './templates.js';
import { whileAlive } from './while-alive.js';

/** For a guest on a loaded host to answer that was loaded already. */
const PROOF = {
  timeoutMs: 60_000,
  late: () => new VmRunnerError('vm-start-failed', 'a guest that was loaded from its template does not answer'),
  died: 'a guest that was loaded from its template ended',
};

/**
 * Starts a VM: as a clone of a template, which is made first when there is none. What cannot be cloned boots from its kernel
 * instead, and one line says why.
 * @throws vm-start-failed when it cannot be cloned and the policy is `always`.
 */
export async function startVm(
  host: QemuHost,
  plan: VmPlan,
  policy: TemplatePolicy,
  context: StartContext,
): Promise<VmRecord> {
  const { timeline, log, signal } = context;
  const boot = (): Promise<VmRecord> => timeline.measure('start', () => bootVm(host, plan, context));
  if (policy === 'never') return boot();
  const templates = new TemplateStore(host);
  let template: Template | undefined;
  try {
    const key = templateKey(plan, await hostCpu());
    template = await obtainTemplate(host, templates, plan, key, { ...context, retry: policy === 'always' });
    return await startClone(host, templates, plan, template, context);
  } catch (error) {
    if (signal.aborted) throw abortReason(signal);
    const cause = toVmRunnerError(error);
    if (policy === 'always') {
      if (template !== undefined) await discard(host, templates, template, cause);
      throw cannotClone(cause);
    }
    log.warn(`VM boots, since it cannot be cloned: ${cause.message}${lastLine(cause.detail)}`);
    await removeFiles([plan.paths.disk, plan.paths.memory]);
    const record = await boot();
    // The rest of what it was to be cloned from is sound, so it was the template that is not.
    if (template !== undefined) await discard(host, templates, template, cause);
    return record;
  }
}

/** One that never made a good clone would be no better when it is made again, so that is not tried with every VM. */
async function discard(
  { store }: QemuHost,
  templates: TemplateStore,
  template: Template,
  reason: VmRunnerError,
): Promise<void> {
  const { key } = template.description;
  if (!(await templates.wasProven(template))) await rememberRefusal(store.paths, key, reason);
  await templates.remove(key);
}

async function startClone(
  host: QemuHost,
  templates: TemplateStore,
  plan: VmPlan,
  template: Template,
  context: StartContext,
): Promise<VmRecord> {
  const record = await context.timeline.measure('clone', () => cloneVm(host, plan, template, context));
  try {
    await prove(host, templates, template, record, context);
    return record;
  } catch (error) {
    // First the record: one that names a process that is gone is somebody's to reap.
    await host.store.vms.update(record.name, { vmm: undefined, template: undefined });
    if (record.vmm !== undefined) await endProcess(host.processes, record.vmm, 0);
    throw error;
  }
}

/**
 * Waits until the agent answers if this is the first clone since this host was started: what was saved before that might
 * believe in something that is no longer so, and hang.
 */
export async function prove(
  { store, processes }: QemuHost,
  templates: TemplateStore,
  template: Pick<Template, 'paths'>,
  { endpoint, vmm }: VmRecord,
  { agentAnswers, signal }: StartContext,
): Promise<void> {
  if (await templates.isProven(template)) {
    await templates.markUsed(template);
    return;
  }
  if (vmm === undefined) throw new VmRunnerError('internal', 'a clone has no process');
  await whileAlive({ processes, process: vmm, ...PROOF, signal }, (alive) => agentAnswers(endpoint, alive));
  await templates.markProven(template);
  await forgetRefusal(store.paths, path.basename(template.paths.directory));
}

function cannotClone(cause: VmRunnerError): VmRunnerError {
  return new VmRunnerError('vm-start-failed', `VM cannot be cloned from a template: ${cause.message}`, {
    hint: 'With the template policy "auto" it boots then.',
    cause,
    ...(cause.detail === undefined ? {} : { detail: cause.detail }),
  });
}

/** Of the evidence as much as fits in one line. */
export function lastLine(detail: string | undefined): string {
  const line = detail?.trimEnd().split('\n').at(-1) ?? '';
  return line === '' ? '' : ` (${line})`;
}

async function removeFiles(files: readonly string[]): Promise<void> {
  for (const file of files) {
    try {
      await rm(file, { force: true });
    } catch (cause) {
      throw fileError('remove a file of a VM', file, cause);
    }
  }
}
