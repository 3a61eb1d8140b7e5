import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import path from 'node:path';

import { describe, expect, inject, it, onTestFinished } from 'vitest';

import { GuestAgent } from '../../src/guest/agent.js';
import { LinuxProcessTable } from '../../src/process/table.js';
import { hostWithImages } from '../support/e2e.js';
import { AGENTS } from '../support/fake-host.js';
import { bootGuest, keepRunning, shell } from '../support/guest.js';
import { hasVhostVsock, vhostVsock } from '../support/vhost-vsock.js';

// The whole way from host to guest over vsock, with a device that runs as a program of this host.

const BINARY = '/usr/local/bin/vm-agent';
const MEMORY_MIB = 512;
const AGENT_PORT = 1024;
const HOST_PORT = 5000;
const HOST_CID = 2;

describe.skipIf(!hasVhostVsock)('an agent on vsock behind vhost-device-vsock, which needs cargo to be built', () => {
  it('is reached by the host, and the host by the guest', { timeout: 900_000 }, async () => {
    const { socket, qemuBinary } = await vhostVsock(MEMORY_MIB);
    const host = await hostWithImages(inject('sharedHome'), qemuBinary);
    // Memory that a device outside of QEMU shares cannot be a template's.
    const vm = { memoryMiB: MEMORY_MIB, network: 'none', template: 'never' } as const;
    const { agent } = await bootGuest(host, 'vhost-vsock', vm);
    const signal = AbortSignal.timeout(120_000);
    await shell(agent, 'modprobe vmw_vsock_virtio_transport', signal);
    await agent.putFile(path.join(AGENTS, 'amd64/vm-agent'), BINARY, { signal });
    // For the host alone: it comes as CID 2.
    keepRunning(agent, [BINARY, 'serve', '--listen', `vsock:${AGENT_PORT}`]);

    const endpoint = { kind: 'hybrid-vsock', path: socket, port: AGENT_PORT } as const;
    const overVsock = await GuestAgent.connect(endpoint, { processes: new LinuxProcessTable(), signal });
    onTestFinished(() => overVsock.close());
    const { bootId, bootMarks } = await overVsock.info();
    // The same guest, and not the agent that booted it.
    expect({ bootId, bootMarks }).toEqual({ bootId: (await agent.info()).bootId, bootMarks: [] });
    const chunks = Array.from({ length: 64 }, (_, chunk) => Buffer.alloc(2 ** 14, chunk));
    const printed: Uint8Array[] = [];
    const status = await overVsock.exec({
      program: { kind: 'argv', argv: ['sh', '-c', 'cat; exit 7'] },
      stdin: (async function* () {
        for (const chunk of chunks) yield await Promise.resolve(chunk);
      })(),
      onStdout: (bytes) => void printed.push(bytes),
      onStderr: () => undefined,
      signal,
    });
    expect(status).toMatchObject({ code: 7, signal: 0 });
    expect(Buffer.concat(printed).equals(Buffer.concat(chunks))).toBe(true);

    const server = createServer().listen(`${socket}_${HOST_PORT}`);
    onTestFinished(() => void server.close());
    const dialled = once(server, 'connection', { signal }).then(async ([connection]) => {
      const [said] = (await once(connection as Socket, 'data', { signal })) as [Buffer];
      (connection as Socket).end('host');
      return said.toString();
    });
    let answer = '';
    const dial = `echo guest | ${BINARY} proxy vsock:${HOST_CID}:${HOST_PORT}`;
    await shell(agent, dial, signal, (text) => (answer += text));
    expect({ said: await dialled, answer }).toEqual({ said: 'guest\n', answer: 'host' });
  });
});
