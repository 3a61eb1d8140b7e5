import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

import type { DescMessage, DescMethod, MessageShape } from '@bufbuild/protobuf';
import type { Client } from '@grpc/grpc-js';

import { abortReason } from '../core/deadline.js';
import { VmRunnerError } from '../core/errors.js';
import { callUpload } from './call.js';
import { Checksum } from './checksum.js';
import type { FileTrailer } from './gen/vmrunner/agent/v1/files_pb.js';
import type { Piece } from './sparse-file.js';
import { guestError } from './status.js';

/** Large enough that messages cost little, small enough for the buffers on the way. */
const CHUNK_BYTES = 256 * 2 ** 10;

/** Sends messages as fast as the guest takes them, and returns its answer. The guest's own error wins over the stream's. */
export async function upload<I extends DescMessage, O extends DescMessage>(
  client: Client,
  method: DescMethod & { readonly input: I; readonly output: O },
  messages: AsyncIterable<MessageShape<I>>,
  doing: string,
  signal: AbortSignal,
): Promise<MessageShape<O>> {
  const { call, answer } = callUpload(client, method);
  // An answer that comes before everything was sent is a refusal: nobody reads the rest, so the sending must stop.
  const refused = new AbortController();
  answer.catch(() => refused.abort());
  try {
    // grpc-js types its streams by message, Node's pipeline only by bytes.
    await pipeline(Readable.from(messages, { objectMode: true }), call as unknown as NodeJS.WritableStream, {
      signal: AbortSignal.any([signal, refused.signal]),
    });
    return await answer;
  } catch (error) {
    call.cancel();
    if (signal.aborted) throw abortReason(signal);
    // What the source threw is ours already; what the stream threw says less than the guest's status.
    if (error instanceof VmRunnerError) throw error;
    throw guestError(doing, refused.signal.aborted ? await answer.catch((status: unknown) => status) : error);
  }
}

/** Bytes in chunks of a size that suits the channel: small ones are joined, large ones cut. */
export async function* rechunk(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let held: Uint8Array[] = [];
  let heldBytes = 0;
  for await (const piece of source) {
    for (let at = 0; at < piece.length;) {
      const part = piece.subarray(at, at + CHUNK_BYTES - heldBytes);
      held.push(part);
      heldBytes += part.length;
      at += part.length;
      if (heldBytes === CHUNK_BYTES) {
        yield held.length === 1 && held[0] !== undefined ? held[0] : Buffer.concat(held);
        held = [];
        heldBytes = 0;
      }
    }
  }
  if (heldBytes > 0) yield Buffer.concat(held);
}

/** What one message of a download means. */
export type Part = Piece | { readonly trailer: FileTrailer | undefined };

/** The pieces of a download, checked against its trailer when they have all come. */
export async function* checked<M>(
  messages: AsyncIterable<M>,
  part: (message: M) => Part | undefined,
  doing: string,
): AsyncGenerator<Piece> {
  const checksum = new Checksum();
  for await (const message of messages) {
    const found = part(message);
    if (found === undefined) continue;
    if ('trailer' in found) {
      if (found.trailer !== undefined && checksum.matches(found.trailer)) return;
      throw new VmRunnerError('agent-protocol', `bytes were damaged on the way while trying to ${doing}`);
    }
    if ('hole' in found) checksum.skip(found.hole);
    else checksum.update(found);
    yield found;
  }
  throw new VmRunnerError('agent-protocol', `guest stopped in the middle while trying to ${doing}`);
}

/** An archive has no holes of its own: they are in its sparse files. */
export async function* onlyBytes(pieces: AsyncIterable<Piece>): AsyncGenerator<Uint8Array> {
  for await (const piece of pieces) if (!('hole' in piece)) yield piece;
}
