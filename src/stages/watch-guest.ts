import { delay } from '../core/deadline.js';
import { VmRunnerError } from '../core/errors.js';
import type { Log } from '../core/log.js';
import { formatDuration, formatSize } from '../core/units.js';
import type { GuestAgent } from '../guest/agent.js';

export interface GuestWatchTimes {
  /** Between two questions. */
  readonly usageMs: number;
  /** Without any word of the guest until that is told. */
  readonly silentMs: number;
  /** And until the job is ended; a loaded host that emulates guests is slow. */
  readonly unreachableMs: number;
}

/** A program that ended sooner is not asked about. */
const SHORT_JOB_MS = 1000;
const LAST_QUESTION_MS = 2000;

type AskedAgent = Pick<GuestAgent, 'usage' | 'heardAt'>;

/** Asks a guest from time to time how it is, on the connection that its job uses. */
export class GuestWatch {
  readonly #agent: AskedAgent;
  readonly #log: Log;
  readonly #times: GuestWatchTimes;
  readonly #startedAt = performance.now();
  /** Programs that were killed before; `undefined` until the first answer. */
  #kills: bigint | undefined;
  #toldSilence = false;

  constructor(agent: AskedAgent, log: Log, times: GuestWatchTimes) {
    this.#agent = agent;
    this.#log = log;
    this.#times = times;
  }

  /** Asks until the signal aborts. @returns why the job must end, when the guest is silent for too long */
  async run(signal: AbortSignal): Promise<VmRunnerError | undefined> {
    const { usageMs, silentMs, unreachableMs } = this.#times;
    while (!signal.aborted) {
      await this.#ask(AbortSignal.any([signal, AbortSignal.timeout(silentMs)]));
      const silence = performance.now() - Math.max(this.#startedAt, this.#agent.heardAt);
      if (silence >= unreachableMs) {
        return new VmRunnerError('agent-unreachable', `agent has not answered for ${formatDuration(silence)}`);
      }
      if (silence < silentMs) this.#toldSilence = false;
      else if (!this.#toldSilence) {
        this.#toldSilence = true;
        this.#log.warn(
          `the guest has not answered for ${formatDuration(silence)}; its job is ended when it stays silent for ${formatDuration(unreachableMs)}`,
        );
      }
      await delay(usageMs, signal).catch(() => undefined);
    }
    return undefined;
  }

  /** Once more, when the job's program has ended: what was killed last is the reason most of the time. */
  async askLast(): Promise<void> {
    if (performance.now() - this.#startedAt < SHORT_JOB_MS) return;
    await this.#ask(AbortSignal.timeout(Math.min(LAST_QUESTION_MS, this.#times.silentMs)));
  }

  /** An agent that does not answer is seen by how long ago it spoke last. */
  async #ask(signal: AbortSignal): Promise<void> {
    const usage = await this.#agent.usage(signal).catch(() => undefined);
    if (usage === undefined) return;
    const { oomKills, memoryBytes } = usage;
    const killed = oomKills - (this.#kills ?? oomKills);
    this.#kills = oomKills;
    if (killed <= 0n) return;
    const programs = killed === 1n ? '1 program' : `${killed} programs`;
    this.#log.warn(
      `the guest's kernel killed ${programs}: its memory is used up (${formatSize(Number(memoryBytes))}); ask for more with memory`,
    );
  }
}
