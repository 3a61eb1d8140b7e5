import { once } from 'node:events';
import path from 'node:path';

import { create, fromBinary, toBinary, type DescMethod, type DescService, type MessageShape } from '@bufbuild/protobuf';
import { Metadata, Server, ServerCredentials, type ServerDuplexStream } from '@grpc/grpc-js';
import { onTestFinished } from 'vitest';

import { GuestAgent } from '../../src/guest/agent.js';
import { AgentService } from '../../src/guest/gen/vmrunner/agent/v1/agent_pb.js';
import { InfoResponseSchema } from '../../src/guest/gen/vmrunner/agent/v1/system_pb.js';
import { LinuxProcessTable } from '../../src/process/table.js';
import { temporaryDirectory } from './temporary-directory.js';

/** What an agent of the test does with one call, whatever its kind: requests in, answers out. Throwing ends it with a status. */
export type Handler = (
  requests: AsyncIterable<unknown>,
  call: ServerDuplexStream<unknown, unknown>,
) => AsyncIterable<unknown>;

/** A failure as an agent sends it. */
export class Refusal extends Error {
  readonly code: number;
  readonly metadata = new Metadata();

  constructor(code: number, details: string, reason?: string) {
    super(details);
    this.code = code;
    if (reason !== undefined) this.metadata.set('vm-runner-reason', reason);
  }
}

/** Serves methods of a service on a real unix socket. What has no handler is unimplemented. */
export async function serveRpc(
  service: DescService,
  handlers: Readonly<Record<string, Handler>>,
): Promise<{ readonly socket: string; readonly directory: string }> {
  const directory = await temporaryDirectory();
  const socket = path.join(directory, 'rpc');
  const server = new Server();
  const methods = service.methods.filter((method) => method.localName in handlers);
  // One kind for all: on the wire the kinds differ only in how many messages each side sends.
  server.addService(
    Object.fromEntries(methods.map((method) => [method.localName, definition(method)])),
    Object.fromEntries(
      methods.map((method) => [method.localName, implementation(handlers[method.localName] as Handler)]),
    ),
  );
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(`unix:${socket}`, ServerCredentials.createInsecure(), (error) =>
      error ? reject(error) : resolve(),
    );
  });
  onTestFinished(() => server.forceShutdown());
  return { socket, directory };
}

function definition(method: DescMethod) {
  return {
    path: `/${method.parent.typeName}/${method.name}`,
    requestStream: true,
    responseStream: true,
    requestSerialize: () => Buffer.alloc(0),
    requestDeserialize: (bytes: Buffer) => fromBinary(method.input, bytes),
    responseSerialize: (message: MessageShape<typeof method.output>) => Buffer.from(toBinary(method.output, message)),
    responseDeserialize: () => undefined,
  };
}

function implementation(handler: Handler) {
  return (call: ServerDuplexStream<unknown, unknown>): void => {
    const gone = new Promise((resolve) => call.once('cancelled', resolve));
    const answer = async (): Promise<void> => {
      for await (const message of handler(call as AsyncIterable<unknown>, call)) {
        if (call.cancelled) return;
        if (!call.write(message)) await Promise.race([once(call, 'drain'), gone]);
      }
      call.end();
    };
    answer().catch((error: unknown) => {
      call.emit('error', error);
    });
  };
}

/** A client of an agent that the test plays: Info is answered unless a handler does. */
export async function playedAgent(
  handlers: Readonly<Record<string, Handler>>,
): Promise<{ readonly agent: GuestAgent; readonly directory: string }> {
  async function* info(): AsyncGenerator {
    yield await Promise.resolve(create(InfoResponseSchema, { protocol: 1, capabilities: ['played'] }));
  }
  const { socket, directory } = await serveRpc(AgentService, { info, ...handlers });
  return { agent: await connectTo(socket), directory };
}

export async function connectTo(socket: string): Promise<GuestAgent> {
  const agent = await GuestAgent.connect(
    { kind: 'unix', path: socket },
    { processes: new LinuxProcessTable(), signal: AbortSignal.timeout(10_000) },
  );
  onTestFinished(() => agent.close());
  return agent;
}

/** Keeps the requests of a call, and answers when they have all come. */
export function answering(answers: readonly unknown[]): { readonly handler: Handler; readonly requests: unknown[] } {
  const requests: unknown[] = [];
  const handler: Handler = async function* (incoming) {
    for await (const request of incoming) requests.push(request);
    yield* answers;
  };
  return { handler, requests };
}

/** Answers without waiting for anything. */
export function telling(answers: Iterable<unknown>): Handler {
  return async function* () {
    await Promise.resolve();
    yield* answers;
  };
}
