import { Deadline } from '../../core/deadline.js';
import { VmRunnerError } from '../../core/errors.js';
import type { ProcessIdentity, ProcessTable } from '../../core/process-identity.js';

const POLL_MS = 100;

export interface Awaited {
  readonly processes: ProcessTable;
  /** The QEMU of the guest. */
  readonly process: ProcessIdentity;
  readonly timeoutMs: number;
  /** What it is told as when its time is over. */
  readonly late: () => VmRunnerError;
  /** What it is told as when QEMU is gone. */
  readonly died: string;
  readonly signal: AbortSignal;
}

/** Waits for something of a guest, but not for that of one that has ended. @throws vm-died */
export async function whileAlive(
  { processes, process, timeoutMs, late, died, signal }: Awaited,
  work: (signal: AbortSignal) => Promise<void>,
): Promise<void> {
  using deadline = new Deadline(timeoutMs, late, signal);
  const gone = new AbortController();
  const watch = setInterval(() => {
    if (!processes.isAlive(process)) gone.abort(new VmRunnerError('vm-died', died));
  }, POLL_MS);
  try {
    await work(AbortSignal.any([deadline.signal, gone.signal]));
  } finally {
    clearInterval(watch);
  }
}
