import pRetry from 'p-retry';

import { abortReason, delay } from '../../core/deadline.js';
import type { VmRunnerError } from '../../core/errors.js';
import type { Log } from '../../core/log.js';

/** A failure that may not come again. It stays in this room: {@link withRetries} lets out the error in it. */
export class Transient extends Error {
  override readonly name = 'Transient';

  /** @param afterMs how long the registry asks to be left alone */
  constructor(
    readonly error: VmRunnerError,
    readonly afterMs = 0,
  ) {
    super(error.message);
  }
}

export interface RetryOptions {
  /** Attempts after the first one, each without any progress. */
  readonly retries: number;
  /** Milliseconds before the first of them; doubles each time. */
  readonly pauseMs: number;
}

export const DEFAULT_RETRY: RetryOptions = { retries: 5, pauseMs: 500 };
const LONGEST_PAUSE_MS = 15_000;

/**
 * Does `work` again while it fails with {@link Transient}.
 * @param progressed whether the last attempt got on: such a failure does not count
 */
export async function withRetries<T>(
  work: () => Promise<T>,
  context: { readonly log: Log; readonly signal: AbortSignal; readonly retry: RetryOptions },
  progressed: () => boolean = () => false,
): Promise<T> {
  const { log, signal, retry } = context;
  try {
    return await pRetry(work, {
      retries: retry.retries,
      minTimeout: retry.pauseMs,
      maxTimeout: LONGEST_PAUSE_MS,
      randomize: true,
      signal,
      shouldRetry: ({ error }) => error instanceof Transient,
      shouldConsumeRetry: () => !progressed(),
      onFailedAttempt: async ({ error, retriesLeft }) => {
        if (!(error instanceof Transient) || retriesLeft === 0) return;
        log.info(`trying again: ${error.error.reason}`);
        // Also who gets on bit by bit does not hammer.
        await delay(Math.max(error.afterMs, progressed() ? retry.pauseMs : 0), signal);
      },
    });
  } catch (error) {
    if (signal.aborted) throw abortReason(signal);
    throw error instanceof Transient ? error.error : error;
  }
}
