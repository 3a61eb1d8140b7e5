import { VmRunnerError } from './errors.js';

/**
 * A point in time by which something must have happened, with a name for the sentence when it has not.
 * Deadlines are passed down as the AbortSignal they own; a parent signal (a cancel) ends them early.
 */
export class Deadline implements Disposable {
  /** Aborts when the time is over or the parent aborts; its reason is a {@link VmRunnerError}. */
  readonly signal: AbortSignal;
  readonly #timer: NodeJS.Timeout | undefined;
  readonly #stopListening: () => void;

  /**
   * @param milliseconds how long; `Infinity` never ends by itself
   * @param expired the error to abort with; made only when it is needed
   * @param parent ends this deadline early, with the parent's reason
   */
  constructor(milliseconds: number, expired: () => VmRunnerError, parent?: AbortSignal) {
    const controller = new AbortController();
    this.signal = controller.signal;
    if (Number.isFinite(milliseconds)) {
      // Timers hold 31 bits; a longer one would fire at once.
      this.#timer = setTimeout(() => controller.abort(expired()), Math.min(milliseconds, 2 ** 31 - 1));
    }
    const follow = (): void => controller.abort(parent?.reason);
    if (parent?.aborted === true) follow();
    parent?.addEventListener('abort', follow, { once: true });
    this.#stopListening = () => parent?.removeEventListener('abort', follow);
  }

  /** Stops the clock; the signal will not abort any more. */
  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#stopListening();
  }
}

/** Waits, or throws the signal's reason as soon as it aborts. */
export function delay(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted === true) {
      reject(abortReason(signal));
      return;
    }
    const onAbort = (): void => {
      clearTimeout(timer);
      reject(abortReason(signal));
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', onAbort);
      resolve();
    }, milliseconds);
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}

/** Why a signal aborted, as an error of ours. A bare `abort()` counts as a cancel. */
export function abortReason(signal: AbortSignal | undefined): VmRunnerError {
  const reason: unknown = signal?.reason;
  if (reason instanceof VmRunnerError) return reason;
  return new VmRunnerError('cancelled', 'cancelled', { cause: reason });
}
