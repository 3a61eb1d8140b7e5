import { delay } from '../core/deadline.js';
import { toVmRunnerError, type VmRunnerError } from '../core/errors.js';
import type { Log } from '../core/log.js';
import type { GuestAgent } from '../guest/agent.js';
import type { Host } from '../providers/provider.js';
import { boundConsole } from '../store/logs.js';
import type { VmRecord } from '../store/record.js';
import { vmEnding } from './vm-ending.js';
import { DiskWatch } from './watch-disk.js';
import { GuestWatch, type GuestWatchTimes } from './watch-guest.js';

export interface WatchTimes extends GuestWatchTimes {
  /** Between two looks at the process of the VM. */
  readonly processMs: number;
  /** Between two looks at its files. */
  readonly filesMs: number;
}

export const WATCH_TIMES: WatchTimes = {
  processMs: 200,
  filesMs: 2000,
  usageMs: 5000,
  silentMs: 30_000,
  unreachableMs: 120_000,
};

const ENDING_MS = 1000;
const ENDING_POLL_MS = 10;

/** What {@link watchVm} needs of a host. */
export type WatchedHost = Pick<Host, 'store' | 'processes' | 'config' | 'providerNamed'>;

export interface Watch extends Disposable {
  /** Aborts, with the reason, when the VM must not or cannot go on. */
  readonly signal: AbortSignal;
  /** Watches the guest, too, from the inside. */
  follow(agent: GuestAgent): void;
  /** What can be known better now that the work is over: why programs were killed, and whether the disk is at its limit. */
  lookOnceMore(): Promise<void>;
  /** After the connection broke: whether it was the VM that ended. */
  lookClosely(): Promise<void>;
}

/** Watches a VM until it is disposed of: its process, its files and, once there is a connection, its guest. */
export function watchVm(host: WatchedHost, record: VmRecord, log: Log, times: WatchTimes): Watch {
  const over = new AbortController();
  const disposed = new AbortController();
  const end = (reason: VmRunnerError | undefined): void => {
    if (reason !== undefined && !over.signal.aborted) over.abort(reason);
  };
  let ending: Promise<void> | undefined;
  const lookAtProcess = (): Promise<void> | undefined => {
    if (ending !== undefined || record.vmm === undefined || host.processes.isAlive(record.vmm)) return ending;
    ending = vmEnding(host, record).then(end, (error: unknown) => end(toVmRunnerError(error)));
    return ending;
  };
  const isVm = host.providerNamed(record.provider).bootsImages;
  const disk = new DiskWatch(host, record, log);
  const lookAtFiles = async (): Promise<void> => {
    try {
      await boundConsole(host.store.vms.paths(record.name).console);
      await boundConsole(host.store.vms.paths(record.name).events);
      if (isVm) end(await disk.look());
    } catch {
      // What cannot be looked at is no reason to end a job; the next reaper tells it.
    }
  };
  let looking = false;
  const timers = [
    setInterval(() => void lookAtProcess(), times.processMs),
    setInterval(() => {
      if (looking) return;
      looking = true;
      void lookAtFiles().finally(() => (looking = false));
    }, times.filesMs),
  ];
  void lookAtProcess();
  let guest: GuestWatch | undefined;
  return {
    signal: over.signal,
    follow: (agent) => {
      if (!isVm || !agent.capabilities.includes('usage')) return;
      guest = new GuestWatch(agent, log, times);
      void guest.run(disposed.signal).then(end);
    },
    lookOnceMore: async () => {
      const lookAtDisk = async (): Promise<void> => {
        const reason = isVm ? await disk.look().catch(() => undefined) : undefined;
        // The work has ended by itself: how it did is its result.
        if (reason !== undefined) log.warn(reason.message);
      };
      await Promise.all([guest?.askLast(), lookAtDisk()]);
    },
    lookClosely: async () => {
      // A process that ends closes its sockets first, and is gone only some moments later.
      const giveUp = performance.now() + ENDING_MS;
      await lookAtProcess();
      while (!over.signal.aborted && performance.now() < giveUp) {
        await delay(ENDING_POLL_MS);
        await lookAtProcess();
      }
    },
    [Symbol.dispose]: () => {
      disposed.abort();
      for (const timer of timers) clearInterval(timer);
    },
  };
}
