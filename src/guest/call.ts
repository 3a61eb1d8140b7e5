import {
  create,
  fromBinary,
  toBinary,
  type DescMessage,
  type DescMethod,
  type MessageInitShape,
  type MessageShape,
} from '@bufbuild/protobuf';
import type { Client, ClientDuplexStream, ClientReadableStream, ClientWritableStream } from '@grpc/grpc-js';

/** One method of a protobuf-es service, as grpc-js wants it: a path and how to turn messages into bytes. */
interface Method<I extends DescMessage, O extends DescMessage> {
  readonly path: string;
  readonly serialize: (message: MessageShape<I>) => Buffer;
  readonly deserialize: (bytes: Buffer) => MessageShape<O>;
}

function grpcMethod<I extends DescMessage, O extends DescMessage>(
  method: DescMethod & { readonly input: I; readonly output: O },
): Method<I, O> {
  return {
    path: `/${method.parent.typeName}/${method.name}`,
    serialize: (message) => {
      const bytes = toBinary(method.input, message);
      return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    },
    deserialize: (bytes) => fromBinary(method.output, bytes),
  };
}

export interface CallOptions {
  /** How long the whole call may take. */
  readonly timeoutMs?: number | undefined;
  /** Cancels the call; it then fails with a status of its own, not with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

/** A call with one request and one answer. */
export async function callUnary<I extends DescMessage, O extends DescMessage>(
  client: Client,
  method: DescMethod & { readonly input: I; readonly output: O },
  request: MessageInitShape<I>,
  { timeoutMs, signal }: CallOptions & { readonly timeoutMs: number },
): Promise<MessageShape<O>> {
  const { path, serialize, deserialize } = grpcMethod(method);
  const message = create(method.input, request);
  let cancel: (() => void) | undefined;
  try {
    return await new Promise((resolve, reject) => {
      const call = client.makeUnaryRequest(
        path,
        serialize,
        deserialize,
        message,
        { deadline: Date.now() + timeoutMs },
        (error, answer) => {
          if (error !== null) reject(error);
          else if (answer === undefined) reject(new Error('the agent ended the call without an answer'));
          else resolve(answer);
        },
      );
      cancel = () => call.cancel();
      signal?.addEventListener('abort', cancel, { once: true });
      if (signal?.aborted === true) cancel();
    });
  } finally {
    if (cancel !== undefined) signal?.removeEventListener('abort', cancel);
  }
}

/** A call with one request and a stream of answers. */
export function callDownload<I extends DescMessage, O extends DescMessage>(
  client: Client,
  method: DescMethod & { readonly input: I; readonly output: O },
  request: MessageInitShape<I>,
  { timeoutMs }: Pick<CallOptions, 'timeoutMs'> = {},
): { readonly messages: AsyncIterable<MessageShape<O>>; readonly cancel: () => void } {
  const { path, serialize, deserialize } = grpcMethod(method);
  const deadline = timeoutMs === undefined ? {} : { deadline: Date.now() + timeoutMs };
  const call = client.makeServerStreamRequest(path, serialize, deserialize, create(method.input, request), deadline);
  return { messages: messagesOf(call), cancel: () => call.cancel() };
}

/**
 * The answers of a call, ending with its status: a failed one is thrown. grpc-js ends the stream first and tells the status
 * after that, so that a plain iteration may take a failure for the end.
 */
export function messagesOf<M>(call: ClientReadableStream<M>): AsyncIterable<M> {
  const failure = new Promise<Error | undefined>((resolve) => {
    call.once('status', () => resolve(undefined));
    call.on('error', resolve);
  });
  async function* messages(): AsyncGenerator<M> {
    try {
      for await (const message of call as AsyncIterable<M>) yield message;
    } catch (error) {
      throw (await failure) ?? error;
    }
    const error = await failure;
    if (error !== undefined) throw error;
  }
  return messages();
}

/** A call with a stream of requests and one answer. */
export function callUpload<I extends DescMessage, O extends DescMessage>(
  client: Client,
  method: DescMethod & { readonly input: I; readonly output: O },
): { readonly call: ClientWritableStream<MessageShape<I>>; readonly answer: Promise<MessageShape<O>> } {
  const { path, serialize, deserialize } = grpcMethod(method);
  let call: ClientWritableStream<MessageShape<I>> | undefined;
  const answer = new Promise<MessageShape<O>>((resolve, reject) => {
    call = client.makeClientStreamRequest(path, serialize, deserialize, (error, message) => {
      if (error !== null) reject(error);
      else if (message === undefined) reject(new Error('the agent ended the call without an answer'));
      else resolve(message);
    });
  });
  if (call === undefined) throw new Error('a promise runs its executor at once');
  return { call, answer };
}

/** A call with streams both ways. */
export function callDuplex<I extends DescMessage, O extends DescMessage>(
  client: Client,
  method: DescMethod & { readonly input: I; readonly output: O },
): ClientDuplexStream<MessageShape<I>, MessageShape<O>> {
  const { path, serialize, deserialize } = grpcMethod(method);
  return client.makeBidiStreamRequest(path, serialize, deserialize);
}

const EVENTS_OF_ROOM = ['drain', 'status', 'error', 'end', 'close'] as const;

/** There is room for more requests, or the call has ended and nobody will read them. */
export function roomIn<I, O>(call: ClientDuplexStream<I, O>): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      for (const event of EVENTS_OF_ROOM) call.off(event, done);
      resolve();
    };
    for (const event of EVENTS_OF_ROOM) call.on(event, done);
    // It may have ended before anyone asked; grpc-js does not close the writing side then.
    if (call.readableEnded || call.destroyed) done();
  });
}
