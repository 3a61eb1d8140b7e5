import { VmRunnerError } from '../../core/errors.js';
import type { VmRecord } from '../../store/record.js';
import type { CreateContext, CreateRequest, PooledRequest, WarmPool } from '../provider.js';
import { takeOver, writeLaunchedAs } from '../vm-process.js';
import { answers } from './boot.js';
import { fits, runClaimed } from './claim.js';
import { launchClone } from './clone.js';
import { hostCpu } from './host-cpu.js';
import { obtainTemplate } from './obtain-template.js';
import type { QemuHost, VmPlan } from './plan.js';
import { chooseMeans, planVm, required, warnOfMeans, type Means } from './plan-vm.js';
import { templateKey } from './template-key.js';
import { TemplateStore, type Template } from './templates.js';

export interface QemuPoolOptions {
  readonly host: QemuHost;
  /** Name of the provider whose VMs they are. */
  readonly provider: string;
  readonly destroy: (name: string) => Promise<void>;
}

/**
 * QEMUs that have a template open and wait to be told to load it. Nothing of a guest runs before that: its clock and its randomness
 * are given to it by the job that takes it.
 */
export class QemuPool implements WarmPool {
  readonly #host: QemuHost;
  readonly #provider: string;
  readonly #destroy: (name: string) => Promise<void>;
  readonly #templates: TemplateStore;

  constructor({ host, provider, destroy }: QemuPoolOptions) {
    this.#host = host;
    this.#provider = provider;
    this.#destroy = destroy;
    this.#templates = new TemplateStore(host);
  }

  async fingerprint(request: PooledRequest, context: Pick<CreateContext, 'log' | 'signal'>): Promise<string> {
    const boot = required(request.boot);
    const key = await this.#key(request, await chooseMeans(this.#host, boot, context));
    const template = await this.#recall(key);
    return [key, template?.description.madeAt, (boot.image ?? boot.base.root).digest].join(' ');
  }

  async launch(request: CreateRequest, context: CreateContext): Promise<VmRecord> {
    const plan = await planVm(this.#host, this.#provider, request, context);
    await writeLaunchedAs(plan.paths, plan.name);
    await launchClone(this.#host, plan, await this.#obtain(plan, context), answers, context);
    return this.#host.store.vms.update(plan.name, { state: 'pooled' });
  }

  async claim(request: CreateRequest, context: CreateContext): Promise<VmRecord | undefined> {
    const { store } = this.#host;
    const means = await chooseMeans(this.#host, required(request.boot), context);
    const key = await this.#key(request, means);
    const template = await this.#recall(key);
    // What was taken away is not used any more, though QEMUs have it open.
    if (template === undefined) return undefined;
    const wanted = { provider: this.#provider, request, key, means };
    const isFit = (record: VmRecord): boolean => fits(record, wanted, this.#host);
    const { agents } = store.vms.paths(request.name);
    const made = { provider: this.#provider, endpoint: { kind: 'serial' as const, paths: agents } };
    const { records } = await store.vms.list();
    for (const { name } of records.filter(isFit)) {
      const record = await takeOver(store, name, { request, made, fits: isFit });
      if (record === undefined) continue;
      warnOfMeans(means, context.log);
      await store.events.add('vm', 'claimed', name, { by: record.name }, context.log);
      if (await runClaimed(this.#host, this.#templates, template, record, context)) return record;
      await this.#destroy(record.name);
      return undefined;
    }
    return undefined;
  }

  /** One that is damaged is gone when that is told, and another one can be made. */
  async #obtain(plan: VmPlan, context: CreateContext): Promise<Template> {
    const key = templateKey(plan, await hostCpu());
    const obtain = (): Promise<Template> =>
      obtainTemplate(this.#host, this.#templates, plan, key, { ...context, retry: false });
    try {
      return await obtain();
    } catch (error) {
      if (!(error instanceof VmRunnerError) || error.code !== 'store-damaged') throw error;
      context.log.warn(`another template is made: ${error.message}`);
      return obtain();
    }
  }

  async #key({ cpus, memoryMiB, boot }: PooledRequest, { qemu, acceleration }: Means): Promise<string> {
    return templateKey({ qemu, acceleration, cpus, memoryMiB, base: required(boot).base }, await hostCpu());
  }

  /** One that cannot be read is as good as none: whoever clones next says so, and makes it anew. */
  async #recall(key: string): Promise<Template | undefined> {
    try {
      return await this.#templates.recall(key);
    } catch (error) {
      if (error instanceof VmRunnerError && error.code === 'store-damaged') return undefined;
      throw error;
    }
  }
}
