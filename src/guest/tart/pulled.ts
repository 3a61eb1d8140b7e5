import { VmRunnerError } from '../../core/errors.js';

/** What a program of the guest is given to be read from. */
export interface PulledStream {
  readonly signal: AbortSignal;
  readonly onStdout: (bytes: Uint8Array) => Promise<void>;
}

/**
 * What a program prints, as an iterable: each chunk is taken before the next one is read. Leaving it early ends the program.
 *
 * @param run runs the program to its end; its error comes out of the iterable
 */
export async function* pulled(
  signal: AbortSignal,
  run: (stream: PulledStream) => Promise<unknown>,
): AsyncGenerator<Uint8Array> {
  const left = new AbortController();
  let offer: (bytes: Uint8Array) => void = () => undefined;
  let taken: () => void = () => undefined;
  const nextChunk = (): Promise<Uint8Array> => new Promise((resolve) => (offer = resolve));
  let next = nextChunk();
  const running = run({
    signal: AbortSignal.any([signal, left.signal]),
    onStdout: (bytes) =>
      new Promise<void>((resolve) => {
        taken = resolve;
        offer(bytes);
      }),
  }).then(() => undefined);
  try {
    for (;;) {
      const bytes = await Promise.race([next, running]);
      if (bytes === undefined) break;
      yield bytes;
      next = nextChunk();
      taken();
    }
  } finally {
    left.abort(new VmRunnerError('cancelled', 'nobody wants the rest'));
    taken();
    // Its error came out above, or nobody asked.
    await running.catch(() => undefined);
  }
}
