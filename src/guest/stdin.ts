import { once } from 'node:events';

import { VmRunnerError } from '../core/errors.js';

/** How one protocol carries standard input. */
export interface InputCarrier {
  /** Sends some bytes, never none. @returns whether there is room for more */
  readonly send: (bytes: Uint8Array) => boolean;
  /** Resolves when there is room again, or nobody will take more. */
  readonly room: () => Promise<void>;
  /** Tells the end, once. */
  readonly end: () => void;
}

/** Large enough that messages cost little, far below what any agent takes. */
const LARGEST_CHUNK_BYTES = 256 * 2 ** 10;

/** Hands standard input over as fast as the program takes it. The program may end, or close it, at any time. */
export async function feed(
  stdin: AsyncIterable<Uint8Array> | undefined,
  ended: AbortSignal,
  carrier: InputCarrier,
): Promise<void> {
  if (stdin === undefined) return;
  const iterator = stdin[Symbol.asyncIterator]();
  const over = once(ended, 'abort').then(() => undefined);
  for (;;) {
    const next = await Promise.race([iterator.next(), over]);
    if (next === undefined) return;
    if (next.done === true) break;
    for (let at = 0; at < next.value.length; at += LARGEST_CHUNK_BYTES) {
      if (!carrier.send(next.value.subarray(at, at + LARGEST_CHUNK_BYTES))) await Promise.race([carrier.room(), over]);
      if (ended.aborted) return;
    }
  }
  carrier.end();
}

/** Never settles unless standard input cannot be read: a program that got half of it must not end well. */
export async function broken(feeding: Promise<void>): Promise<never> {
  try {
    await feeding;
  } catch (cause) {
    if (cause instanceof VmRunnerError) throw cause;
    const text = cause instanceof Error ? cause.message : String(cause);
    throw new VmRunnerError('invalid-input', `cannot read standard input: ${text}`, { cause });
  }
  return new Promise<never>(() => undefined);
}
