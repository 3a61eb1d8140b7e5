import { once } from 'node:events';
import { createServer, connect, type Socket } from 'node:net';
import path from 'node:path';

import { describe, expect, inject, it, onTestFinished } from 'vitest';

import { delay } from '../../src/core/deadline.js';
import { GuestAgent } from '../../src/guest/agent.js';
import { LinuxProcessTable } from '../../src/process/table.js';
import { hostWithImages } from '../support/e2e.js';
import { AGENTS } from '../support/fake-host.js';
import { bootGuest, keepRunning, shell } from '../support/guest.js';
import { temporaryDirectory } from '../support/temporary-directory.js';

// The vsock listener of the agent without any device for it: in a guest whose kernel connects it to itself, by CID 1.

const BINARY = '/usr/local/bin/vm-agent';
const [FOR_THE_HOST, FOR_ANYBODY, SMOLVM] = [7001, 7002, 7003];
const MODULES = ['vsock', 'vsock_loopback', 'vmw_vsock_virtio_transport'];

interface Carried {
  readonly code: number;
  readonly bytes: Buffer;
  readonly errors: string;
}

/** Dials a vsock port in the guest and carries its bytes over the streams of `exec`. */
async function carry(
  agent: GuestAgent,
  port: number,
  stdin: AsyncIterable<Uint8Array>,
  onBytes: (bytes: Uint8Array) => Promise<void> | void,
  signal: AbortSignal,
): Promise<Carried> {
  const [bytes, errors]: [Uint8Array[], Uint8Array[]] = [[], []];
  const { code } = await agent.exec({
    program: { kind: 'argv', argv: [BINARY, 'proxy', `vsock:1:${port}`] },
    stdin,
    onStdout: (data) => {
      bytes.push(data);
      return onBytes(data);
    },
    onStderr: (data) => void errors.push(data),
    signal,
  });
  return { code, bytes: Buffer.concat(bytes), errors: Buffer.concat(errors).toString() };
}

/** Input that ends only when the test is over, so that nobody can take its end for a reason to hang up. */
async function* open(signal: AbortSignal): AsyncGenerator<Uint8Array> {
  await once(signal, 'abort');
  yield* [];
}

/** The modules of this kernel, and a second agent that listens on vsock; ready once its port answers. */
async function guestWithVsock(): Promise<GuestAgent> {
  const host = await hostWithImages(inject('sharedHome'));
  const { agent } = await bootGuest(host, 'vsock', { memoryMiB: 512, network: 'none' });
  const signal = AbortSignal.timeout(120_000);
  await shell(agent, `modprobe -a ${MODULES.join(' ')}`, signal);
  await agent.putFile(path.join(AGENTS, 'amd64/vm-agent'), BINARY, { signal });
  const listeners = [`vsock:${FOR_THE_HOST}`, `vsock:${FOR_ANYBODY},cid=any`].flatMap((one) => ['--listen', one]);
  const smolvm = ['--listen-smolvm', `vsock:${SMOLVM},cid=any`];
  const second = keepRunning(agent, [BINARY, 'serve', ...listeners, ...smolvm]);
  for (;;) {
    const nothing = {
      [Symbol.asyncIterator]: () => ({ next: () => Promise.resolve({ done: true, value: undefined }) }),
    };
    const { errors } = await carry(agent, SMOLVM, nothing as AsyncIterable<Uint8Array>, () => undefined, signal);
    if (errors === '') return agent;
    if (!errors.includes('cannot connect')) throw new Error(errors);
    if (signal.aborted) throw new Error(`the agent does not listen on vsock: ${second.output()}`);
    await delay(50);
  }
}

/** A socket of this host whose connections come out at that vsock port of the guest. */
async function socketTo(agent: GuestAgent, port: number, signal: AbortSignal): Promise<string> {
  const socketPath = path.join(await temporaryDirectory(), 'vsock');
  const connections = new Set<Socket>();
  const server = createServer((socket) => {
    connections.add(socket);
    const onBytes = async (bytes: Uint8Array): Promise<void> => {
      if (!socket.write(bytes)) await once(socket, 'drain');
    };
    carry(agent, port, socket, onBytes, signal).then(
      () => socket.end(),
      () => socket.destroy(),
    );
  });
  server.listen(socketPath);
  await once(server, 'listening');
  onTestFinished(async () => {
    for (const socket of connections) socket.destroy();
    server.close();
    await once(server, 'close');
  });
  return socketPath;
}

describe('an agent on vsock in a guest', () => {
  it('serves gRPC and SmolVM to whom it listens for, and hangs up on others', async () => {
    const agent = await guestWithVsock();
    const signal = AbortSignal.timeout(120_000);

    const socket = await socketTo(agent, FOR_ANYBODY, signal);
    const processes = new LinuxProcessTable();
    const overVsock = await GuestAgent.connect({ kind: 'unix', path: socket }, { processes, signal });
    const { bootId, bootMarks } = await overVsock.info();
    // The same guest, and not the agent that booted it.
    expect({ bootId, bootMarks }).toEqual({ bootId: (await agent.info()).bootId, bootMarks: [] });
    const printed: Uint8Array[] = [];
    const status = await overVsock.exec({
      program: { kind: 'argv', argv: ['sh', '-c', 'cat; exit 7'] },
      stdin: (async function* () {
        for (let chunk = 0; chunk < 64; chunk += 1) yield await Promise.resolve(Buffer.alloc(2 ** 14, chunk));
      })(),
      onStdout: (bytes) => void printed.push(bytes),
      onStderr: () => undefined,
      signal,
    });
    expect(status).toMatchObject({ code: 7, signal: 0 });
    const sent = Buffer.concat(Array.from({ length: 64 }, (_, chunk) => Buffer.alloc(2 ** 14, chunk)));
    expect(Buffer.concat(printed).equals(sent)).toBe(true);
    await overVsock.close();

    const ping = Buffer.from('{"op":"ping","v":1}');
    const client = connect(await socketTo(agent, SMOLVM, signal));
    onTestFinished(() => void client.destroy());
    const header = Buffer.alloc(5);
    header.writeUInt8(1);
    header.writeUInt32BE(ping.length, 1);
    client.write(Buffer.concat([header, ping]));
    const [pong] = (await once(client, 'data', { signal })) as [Buffer];
    expect(JSON.parse(pong.subarray(5).toString())).toMatchObject({ ok: true, op: 'pong', proto: 1 });

    // The connection is made, and ended from the other side without a byte: HTTP/2 would have begun with its settings.
    const over = new AbortController();
    const refused = await carry(agent, FOR_THE_HOST, open(over.signal), () => undefined, signal);
    over.abort();
    expect({ ...refused, bytes: refused.bytes.length }).toEqual({ code: 0, bytes: 0, errors: '' });
  });
});
