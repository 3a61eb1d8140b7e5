import { Duplex } from 'node:stream';

import { create, type MessageInitShape, type MessageShape } from '@bufbuild/protobuf';
import type { Client, ClientDuplexStream } from '@grpc/grpc-js';

import { abortReason, Deadline } from '../core/deadline.js';
import { VmRunnerError } from '../core/errors.js';
import { callDuplex, messagesOf, roomIn } from './call.js';
import { AgentService } from './gen/vmrunner/agent/v1/agent_pb.js';
import { ForwardRequestSchema, ForwardStartSchema, type ForwardResponse } from './gen/vmrunner/agent/v1/forward_pb.js';
import { rootOf, type InRoot } from './root.js';
import { guestError } from './status.js';

/** A socket as the guest sees it. */
export type ForwardTarget =
  /** `host` is an address or `localhost`, which is the default. */
  | { readonly kind: 'tcp'; readonly host?: string; readonly port: number }
  /** Absolute path of a stream socket. */
  | ({ readonly kind: 'unix'; readonly path: string } & InRoot);

type ForwardRequest = MessageShape<typeof ForwardRequestSchema>;
type ForwardCall = ClientDuplexStream<ForwardRequest, ForwardResponse>;

const CONNECT_TIMEOUT_MS = 30_000;
const LARGEST_CHUNK_BYTES = 256 * 2 ** 10;

/**
 * Connects to a socket in the guest. Ending the stream ends that direction alone, as shutdown(2) does; destroying it, or the
 * signal, ends the connection.
 */
export async function forward(client: Client, target: ForwardTarget, signal?: AbortSignal): Promise<Duplex> {
  const doing = `connect to ${nameOf(target)} in the guest`;
  const expired = (): VmRunnerError =>
    new VmRunnerError('agent-unreachable', `agent did not ${doing} within ${CONNECT_TIMEOUT_MS / 1000} s`);
  using deadline = new Deadline(CONNECT_TIMEOUT_MS, expired, signal);
  const call = callDuplex(client, AgentService.method.forward);
  const cancel = (): void => call.cancel();
  deadline.signal.addEventListener('abort', cancel, { once: true });
  if (deadline.signal.aborted) cancel();
  const messages = messagesOf<ForwardResponse>(call)[Symbol.asyncIterator]();
  send(call, { case: 'start', value: { target: startTarget(target) } });
  try {
    const first = await messages.next();
    if (first.done === true || first.value.response.case !== 'connected') {
      throw new VmRunnerError('agent-protocol', `agent did not say whether it could ${doing}`);
    }
  } catch (error) {
    call.cancel();
    if (deadline.signal.aborted) throw abortReason(deadline.signal);
    throw guestError(doing, error);
  } finally {
    deadline.signal.removeEventListener('abort', cancel);
  }
  return forwardStream(call, messages, `keep the connection to ${nameOf(target)} in the guest`, signal);
}

function forwardStream(
  call: ForwardCall,
  messages: AsyncIterator<ForwardResponse>,
  doing: string,
  signal: AbortSignal | undefined,
): Duplex {
  const stream = new Duplex({
    read() {
      nextBytes(messages).then(
        (bytes) => stream.push(bytes),
        (error: unknown) => stream.destroy(guestError(doing, error)),
      );
    },
    write(chunk: Buffer, _encoding, callback) {
      writeAll(call, chunk).then(() => callback(), callback);
    },
    final(callback) {
      call.end();
      callback();
    },
    destroy(error, callback) {
      call.cancel();
      callback(error);
    },
  });
  const onAbort = (): void => void stream.destroy(abortReason(signal));
  signal?.addEventListener('abort', onAbort, { once: true });
  stream.once('close', () => signal?.removeEventListener('abort', onAbort));
  if (signal?.aborted === true) onAbort();
  return stream;
}

/** `null`: the guest's side has ended. */
async function nextBytes(messages: AsyncIterator<ForwardResponse>): Promise<Uint8Array | null> {
  for (;;) {
    const next = await messages.next();
    if (next.done === true) return null;
    const { response } = next.value;
    // An empty chunk means nothing here, and the end to the stream.
    if (response.case === 'data' && response.value.length > 0) return response.value;
  }
}

async function writeAll(call: ForwardCall, chunk: Buffer): Promise<void> {
  for (let at = 0; at < chunk.length; at += LARGEST_CHUNK_BYTES) {
    // The guest's socket may be gone already; reading tells how it ended.
    if (!call.writable) return;
    const room: boolean = send(call, { case: 'data', value: chunk.subarray(at, at + LARGEST_CHUNK_BYTES) });
    if (!room) await roomIn(call);
  }
}

function send(call: ForwardCall, request: MessageInitShape<typeof ForwardRequestSchema>['request']): boolean {
  return call.write(create(ForwardRequestSchema, { request } as MessageInitShape<typeof ForwardRequestSchema>));
}

function startTarget(target: ForwardTarget): NonNullable<MessageInitShape<typeof ForwardStartSchema>['target']> {
  if (target.kind === 'tcp') return { case: 'tcp', value: { host: target.host ?? '', port: target.port } };
  return { case: 'unix', value: { root: rootOf(target), path: target.path } };
}

function nameOf(target: ForwardTarget): string {
  return target.kind === 'tcp' ? `${target.host ?? 'localhost'}:${target.port}` : target.path;
}
