import { toVmRunnerError } from '../../core/errors.js';
import { discardTemporary } from '../../store/temporary.js';
import type { QemuHost, StartContext, VmPlan } from './plan.js';
import { recentRefusal, rememberRefusal } from './refusal.js';
import { saveTemplate } from './save.js';
import { describeTemplate } from './template-files.js';
import type { Template, TemplateStore } from './templates.js';

/** How a template is come by. */
export interface ObtainContext extends StartContext {
  /** Whether one is made also when that failed lately. */
  readonly retry: boolean;
}

/**
 * The template of a key; made when there is none, once however many ask.
 * @throws store-damaged when there was one that cannot be used, else whatever kept it from being made.
 */
export async function obtainTemplate(
  host: QemuHost,
  templates: TemplateStore,
  plan: VmPlan,
  key: string,
  context: ObtainContext,
): Promise<Template> {
  const { log, timeline, signal, retry } = context;
  const find = async (): Promise<Template | undefined> => {
    const template = await templates.find(key);
    const refusal = template !== undefined || retry ? undefined : await recentRefusal(host.store.paths, key);
    if (refusal !== undefined) throw refusal;
    return template;
  };
  const found = await find();
  if (found !== undefined) return found;
  return timeline.measure('template', async () => {
    const lock = await templates.lock(key, {
      signal,
      onWait: (holder) => log.info(`waiting for process ${holder.pid}, which is making the template`),
    });
    try {
      return (await find()) ?? (await make(host, templates, plan, key, context));
    } finally {
      await lock.release();
    }
  });
}

async function make(
  host: QemuHost,
  templates: TemplateStore,
  plan: VmPlan,
  key: string,
  context: ObtainContext,
): Promise<Template> {
  const { acceleration, cpus, memoryMiB, qemu, base } = plan;
  context.log.progress('booting the guest that VMs of this size are cloned from');
  const paths = await templates.temporary();
  try {
    await saveTemplate(host, plan, paths, context);
    const about = { key, acceleration, cpus, memoryMiB, qemu: qemu.version, base: base.digest };
    const description = await describeTemplate(paths, { ...about, madeAt: Date.now() });
    const template = await templates.add(paths, description);
    await host.store.events.add('template', 'made', key, { cpus, memoryMiB }, context.log);
    return template;
  } catch (error) {
    const cause = toVmRunnerError(error);
    // A full disk is no news that lasts, and may be emptied at any time.
    const isLasting = !context.signal.aborted && cause.code !== 'disk-full';
    if (isLasting) await rememberRefusal(host.store.paths, key, cause);
    throw cause;
  } finally {
    await discardTemporary(paths.directory);
  }
}
