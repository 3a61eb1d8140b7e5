import type { EventEmitter } from 'node:events';

import { abortReason, delay } from '../core/deadline.js';
import { VmRunnerError } from '../core/errors.js';

/**
 * A signal that aborts when the runner cancels the step: SIGINT first, SIGTERM 7.5 s later, and after 2.5 s more it kills
 * everything (actions/runner, ProcessInvoker.cs). A later one changes nothing: we are on our way already.
 */
export function cancelSignal(process: Pick<EventEmitter, 'on'>): AbortSignal {
  const controller = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    process.on(name, () => {
      controller.abort(
        new VmRunnerError('cancelled', 'the step was cancelled', { hint: 'Its VM is destroyed.', subject: name }),
      );
    });
  }
  return controller.signal;
}

/**
 * Waits for work that listens to the signal, but no longer than `graceMs` after the signal aborted: what does not let go by
 * then loses its VM under its feet.
 * @throws the signal's reason when it aborted, whatever became of the work.
 */
export async function untilCancelled<T>(work: Promise<T>, signal: AbortSignal, graceMs: number): Promise<T> {
  const over = new AbortController();
  const settled = work.then(
    () => undefined,
    () => undefined,
  );
  const aborted = new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener('abort', () => resolve(), { once: true, signal: over.signal });
  });
  try {
    await Promise.race([settled, aborted]);
    if (signal.aborted) {
      await Promise.race([settled, delay(graceMs, over.signal).catch(() => undefined)]);
      throw abortReason(signal);
    }
    return await work;
  } finally {
    over.abort();
  }
}
