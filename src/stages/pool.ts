import { randomBytes } from 'node:crypto';

import { delay } from '../core/deadline.js';
import { toVmRunnerError, VmRunnerError } from '../core/errors.js';
import { DEFAULT_DISK_MIB, type VmRequest } from '../core/job.js';
import type { Log } from '../core/log.js';
import type { ProcessIdentity } from '../core/process-identity.js';
import type { CreateRequest, Host, WarmPool } from '../providers/provider.js';
import { isPoolName, randomPoolName } from '../store/pool-name.js';
import { NEVER } from '../store/record.js';
import { agentAnswers } from './agent-answers.js';
import { bootFiles } from './boot-files.js';
import { cleanup } from './cleanup.js';
import { giveUp } from './give-up.js';
import type { StageContext } from './prepare.js';
import { reapOrphans } from './reap.js';
import { withdraw } from './reserve.js';

export interface PoolOrder {
  /** What the jobs ask for that shall find a VM. */
  readonly vm: VmRequest;
  /** How many wait. */
  readonly size: number;
}

export interface PoolTimes {
  /** Between two looks. */
  readonly lookMs: number;
  /** Between two looks whether templates and images are still the same. */
  readonly lookCloselyMs: number;
  /** After there was no room. */
  readonly noRoomMs: number;
  /** After a VM could not be launched. */
  readonly retryMs: number;
}

const POOL_TIMES: PoolTimes = { lookMs: 500, lookCloselyMs: 5000, noRoomMs: 2000, retryMs: 10_000 };

interface Waiting {
  readonly incarnation: string;
  readonly vmm: ProcessIdentity | undefined;
  readonly fingerprint: string;
}

/**
 * Keeps VMs launched and waiting for jobs until the signal aborts, and takes them away then. It never stands in the queue for room:
 * those who do take away VMs that wait here, and no others are launched meanwhile.
 * @throws the reason of the signal; whatever keeps the first VM from being launched; invalid-input for a provider without pools.
 */
export async function keepPool(
  host: Host,
  order: PoolOrder,
  context: StageContext,
  times: Partial<PoolTimes> = {},
): Promise<never> {
  const { pool: warm } = host.provider;
  if (warm === undefined) {
    throw new VmRunnerError('invalid-input', 'VMs of this provider do not wait in a pool', {
      subject: host.provider.name,
      hint: 'They start without one.',
    });
  }
  const log = onceWarned(context.log);
  const pool = new Pool(host, warm, order, { ...context, log }, { ...POOL_TIMES, ...times });
  try {
    await reapOrphans(host, log);
    for (;;) {
      const isBusy = await pool.look();
      await delay(isBusy ? 0 : pool.times.lookMs, context.signal);
    }
  } finally {
    await pool.end();
  }
}

/** The VMs of this process that wait. */
class Pool {
  readonly times: PoolTimes;
  readonly #host: Host;
  readonly #warm: WarmPool;
  readonly #order: PoolOrder;
  readonly #context: StageContext;
  readonly #waiting = new Map<string, Waiting>();
  #lookedCloselyAt = performance.now();
  #retryAt = 0;
  #wasFilled = false;
  #isShort = false;

  constructor(host: Host, warm: WarmPool, order: PoolOrder, context: StageContext, times: PoolTimes) {
    this.#host = host;
    this.#warm = warm;
    this.#order = order;
    this.#context = context;
    this.times = times;
  }

  /** @returns whether there is more to do at once */
  async look(): Promise<boolean> {
    const wereTaken = await this.#noticeTaken();
    await this.#giveUpEnded();
    await this.#giveUpOutdated();
    // One look later: the job that took it starts right now, and needs the processors.
    if (wereTaken || this.#waiting.size >= this.#order.size) return false;
    return performance.now() >= this.#retryAt && (await this.#launch());
  }

  /** Takes all away that this process has launched and that nobody took. */
  async end(): Promise<void> {
    const { store, processes } = this.#host;
    const { pid, startTime } = processes.self;
    const { records } = await store.vms.list();
    for (const { name, incarnation, owner } of records) {
      if (!isPoolName(name) || owner?.pid !== pid || owner.startTime !== startTime) continue;
      try {
        await giveUp(this.#host, name, incarnation, this.#context.log);
      } catch (error) {
        this.#context.log.warn(
          `cannot remove VM ${name}: ${toVmRunnerError(error).message} It goes with: vm-runner gc`,
        );
      }
    }
  }

  async #noticeTaken(): Promise<boolean> {
    const { records } = await this.#host.store.vms.list();
    let wereTaken = false;
    for (const [name, { incarnation, vmm }] of this.#waiting) {
      if (records.some((record) => record.incarnation === incarnation)) continue;
      this.#waiting.delete(name);
      const taker = records.find((record) => record.vmm !== undefined && record.vmm.pid === vmm?.pid);
      this.#context.log.info(
        taker === undefined ? `VM ${name} is gone: taken or removed` : `VM ${name} was taken: it is ${taker.name} now`,
      );
      wereTaken = true;
    }
    return wereTaken;
  }

  async #giveUpEnded(): Promise<void> {
    for (const [name, { vmm }] of this.#waiting) {
      if (vmm === undefined || !this.#host.processes.isAlive(vmm)) await this.#giveUp(name, 'it has ended');
    }
  }

  async #giveUpOutdated(): Promise<void> {
    if (this.#waiting.size === 0 || performance.now() - this.#lookedCloselyAt < this.times.lookCloselyMs) return;
    this.#lookedCloselyAt = performance.now();
    try {
      const fingerprint = await this.#fingerprint(await this.#request());
      for (const [name, waiting] of this.#waiting) {
        if (waiting.fingerprint !== fingerprint)
          await this.#giveUp(name, 'its template or image is another one by now');
      }
    } catch (error) {
      if (this.#context.signal.aborted) throw error;
      this.#context.log.warn(toVmRunnerError(error).message);
    }
  }

  async #giveUp(name: string, reason: string): Promise<void> {
    const { log } = this.#context;
    const incarnation = this.#waiting.get(name)?.incarnation ?? '';
    if (await giveUp(this.#host, name, incarnation, log)) {
      this.#waiting.delete(name);
      log.info(`gave up VM ${name}: ${reason}`);
    } else {
      await this.#noticeTaken();
    }
  }

  /** @returns whether one more waits now */
  async #launch(): Promise<boolean> {
    const { log, signal } = this.#context;
    try {
      const request = await this.#request();
      const isLaunched = await this.#launchInRoom(request);
      if (!isLaunched && !this.#isShort) log.info('there is no room for more VMs that wait');
      this.#isShort = !isLaunched;
      if (!isLaunched) {
        this.#retryAt = performance.now() + this.times.noRoomMs;
        return false;
      }
    } catch (error) {
      if (signal.aborted || !this.#wasFilled) throw error;
      log.warn(`no VM could be launched for the pool: ${toVmRunnerError(error).message}`);
      this.#retryAt = performance.now() + this.times.retryMs;
      return false;
    }
    const { size } = this.#waiting;
    log.info(`${size} of ${this.#order.size} VMs wait`);
    this.#wasFilled = true;
    return true;
  }

  async #request(): Promise<CreateRequest> {
    const { vm } = this.#order;
    const { provider } = this.#host;
    // To ask the registry again is for jobs to do.
    const image = { image: vm.image, pull: 'if-not-present' as const };
    const boot = provider.bootsImages ? await bootFiles(this.#host, image, this.#context) : undefined;
    return {
      ...vm,
      cpus: vm.cpus ?? (await provider.defaultCpus(boot, this.#context)),
      diskMiB: vm.diskMiB ?? DEFAULT_DISK_MIB,
      name: randomPoolName(),
      incarnation: randomBytes(16).toString('hex'),
      boot,
      owner: this.#host.processes.self,
      expiresAt: NEVER,
      frontEnd: 'pool',
      job: undefined,
    };
  }

  /** @returns whether there was room */
  async #launchInRoom(request: CreateRequest): Promise<boolean> {
    const { capacity, store } = this.#host;
    const { log, signal } = this.#context;
    const { name, incarnation, cpus, memoryMiB, diskMiB = DEFAULT_DISK_MIB } = request;
    const demand = { cpus, memoryMiB, diskMiB };
    await capacity.requirePossible(demand);
    const ticket = capacity.ticket(name, incarnation, demand);
    if (!(await capacity.tryAdmit(ticket, signal))) return false;
    try {
      const asking = { ...this.#context, agentAnswers: agentAnswers(this.#host) };
      const { vmm } = await this.#warm.launch(request, asking);
      this.#waiting.set(name, { incarnation, vmm, fingerprint: await this.#fingerprint(request) });
      await store.events.add('vm', 'pooled', name, { image: request.image, cpus, memoryMiB }, log);
      return true;
    } catch (error) {
      if (!signal.aborted) await cleanup(this.#host, name, { keepLogs: true, log });
      throw error;
    } finally {
      await withdraw(capacity, ticket, log);
    }
  }

  #fingerprint(request: CreateRequest): Promise<string> {
    return this.#warm.fingerprint(request, this.#context);
  }
}

/** What is the same with every VM is said once. */
function onceWarned(log: Log): Log {
  const said = new Set<string>();
  const warn = (text: string): void => {
    if (!said.has(text)) log.warn(text);
    said.add(text);
  };
  return { ...log, warn };
}
