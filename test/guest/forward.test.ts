import { create } from '@bufbuild/protobuf';
import { status } from '@grpc/grpc-js';
import { describe, expect, it } from 'vitest';

import { ForwardResponseSchema, type ForwardRequest } from '../../src/guest/gen/vmrunner/agent/v1/forward_pb.js';
import { playedAgent, Refusal, telling, type Handler } from '../support/rpc-server.js';

// The agent is played: what the client makes of its answers, and of none.

const signal = AbortSignal.timeout(50_000);

describe('forward', () => {
  const connected = create(ForwardResponseSchema, { response: { case: 'connected', value: {} } });
  const bytes = (value: Uint8Array): unknown => create(ForwardResponseSchema, { response: { case: 'data', value } });

  it('is a stream both ways whose directions end by themselves', async () => {
    const forward: Handler = async function* (requests) {
      let total = 0;
      for await (const { request } of requests as AsyncIterable<ForwardRequest>) {
        if (request.case === 'start') yield connected;
        if (request.case === 'data') {
          total += request.value.length;
          yield bytes(new Uint8Array());
          yield bytes(request.value);
        }
      }
      yield bytes(Buffer.from(`end after ${total}`));
    };
    const { agent } = await playedAgent({ forward });
    const stream = await agent.forward({ kind: 'tcp', port: 80 }, signal);
    const sent = Buffer.alloc(3_000_000, 'x');
    stream.end(sent);
    const received = Buffer.concat(await all(stream as AsyncIterable<Uint8Array>));
    expect(received.equals(Buffer.concat([sent, Buffer.from('end after 3000000')]))).toBe(true);
  });

  it('is an error when nobody listens, when nothing is said, and when it breaks', async () => {
    const refuse: Handler = async function* () {
      await Promise.resolve();
      throw new Refusal(status.FAILED_PRECONDITION, 'nobody listens', 'connection-refused');
    };
    const { agent } = await playedAgent({ forward: refuse });
    await expect(agent.forward({ kind: 'unix', path: '/s' })).rejects.toMatchObject({ code: 'guest-request-refused' });
    const { agent: silent } = await playedAgent({ forward: telling([]) });
    await expect(silent.forward({ kind: 'unix', path: '/s' })).rejects.toMatchObject({ code: 'agent-protocol' });
    const breaking: Handler = async function* () {
      yield await Promise.resolve(connected);
      throw new Refusal(status.UNAVAILABLE, 'gone');
    };
    const { agent: broken } = await playedAgent({ forward: breaking });
    const stream = await broken.forward({ kind: 'tcp', port: 1 });
    await expect(all(stream as AsyncIterable<Uint8Array>)).rejects.toMatchObject({ code: 'agent-unreachable' });
  });

  it('that the guest has ended takes all that is written still', async () => {
    let taken = 0;
    const forward: Handler = async function* (requests) {
      yield connected;
      yield create(ForwardResponseSchema, { response: { case: 'end', value: {} } });
      for await (const { request } of requests as AsyncIterable<ForwardRequest>) {
        if (request.case === 'data') taken += request.value.length;
      }
    };
    const { agent } = await playedAgent({ forward });
    const stream = await agent.forward({ kind: 'tcp', port: 80 }, signal);
    expect(await all(stream as AsyncIterable<Uint8Array>)).toEqual([]);
    stream.end(Buffer.alloc(5_000_000));
    await expect.poll(() => taken).toBe(5_000_000);
  });

  it('ends when it is destroyed', async () => {
    let cancelled = false;
    const forward: Handler = async function* (_requests, call) {
      call.once('cancelled', () => (cancelled = true));
      yield await Promise.resolve(connected);
      await new Promise(() => undefined);
    };
    const { agent } = await playedAgent({ forward });
    const stream = await agent.forward({ kind: 'tcp', port: 80 });
    stream.destroy();
    await expect.poll(() => cancelled).toBe(true);
  });
});

async function all(chunks: AsyncIterable<Uint8Array>): Promise<Uint8Array[]> {
  const parts: Uint8Array[] = [];
  for await (const chunk of chunks) parts.push(chunk);
  return parts;
}
