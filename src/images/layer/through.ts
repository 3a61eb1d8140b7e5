import { Readable, type Duplex } from 'node:stream';
import { pipeline } from 'node:stream/promises';

import { systemCode, toVmRunnerError, VmRunnerError } from '../../core/errors.js';
import { layerError } from './limits.js';

/**
 * What comes out of a decompressor that a stream is put through. It may come to its end before the stream does: what is left of
 * that is not read.
 * @throws what the stream failed with; image-invalid when the decompressor did
 */
export async function* through(source: AsyncIterable<Buffer>, transform: Duplex): AsyncGenerator<Buffer> {
  let sourceError: VmRunnerError | undefined;
  async function* watched(): AsyncGenerator<Buffer> {
    const iterator: AsyncIterator<Buffer, unknown> = source[Symbol.asyncIterator]();
    try {
      for (;;) {
        const next = await iterator.next().catch((error: unknown) => {
          sourceError = toVmRunnerError(error);
          throw sourceError;
        });
        if (next.done === true) return;
        yield next.value;
      }
    } finally {
      await iterator.return?.();
    }
  }
  const piping = pipeline(Readable.from(watched(), { objectMode: false }), transform);
  // What went wrong is told by the reading below; that it was left early is nothing wrong.
  piping.catch(() => undefined);
  try {
    for await (const chunk of transform) yield chunk as Buffer;
  } catch (cause) {
    if (sourceError !== undefined) throw sourceError;
    const isOfTheBytes = systemCode(cause)?.startsWith('Z') === true;
    if (cause instanceof VmRunnerError || !isOfTheBytes) throw cause;
    throw layerError(`layer whose compressed bytes are damaged (${cause instanceof Error ? cause.message : ''})`);
  } finally {
    transform.destroy();
  }
}
