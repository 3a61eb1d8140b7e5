import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, open, readdir, readFile, readlink } from 'node:fs/promises';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { describe, expect, it, onTestFinished } from 'vitest';

import { Deadline } from '../../src/core/deadline.js';
import type { Endpoint } from '../../src/core/endpoint.js';
import { VmRunnerError } from '../../src/core/errors.js';
import { GuestAgent } from '../../src/guest/agent.js';
import { LinuxProcessTable } from '../../src/process/table.js';
import { AGENT_BINARY, localAgent } from '../support/agent.js';
import { temporaryDirectory } from '../support/temporary-directory.js';

// Each kind of endpoint over what really stands there: sockets, programs, and the shipped agent behind them.

async function dial(endpoint: Endpoint, milliseconds = 10_000): Promise<GuestAgent> {
  const expired = (): VmRunnerError =>
    new VmRunnerError('boot-timeout', 'agent did not answer', { subject: 'vm-x', hint: 'Give it more time.' });
  using deadline = new Deadline(milliseconds, expired);
  const agent = await GuestAgent.connect(endpoint, { processes: new LinuxProcessTable(), signal: deadline.signal });
  onTestFinished(() => agent.close());
  return agent;
}

async function listen(file: string, onConnection: (socket: Socket) => void): Promise<Server> {
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    onConnection(socket);
  });
  server.listen(file);
  await once(server, 'listening');
  onTestFinished(() => {
    server.close();
  });
  return server;
}

/** What Firecracker does with a connection: a line, an answer, and then the guest's own bytes. */
async function vmm(
  target: string,
  answer: (line: string) => string | undefined,
): Promise<{ file: string; lines: string[] }> {
  const file = path.join(await temporaryDirectory(), 'v.sock');
  const lines: string[] = [];
  await listen(file, (socket) => {
    socket.once('data', (bytes: Buffer) => {
      const line = bytes.toString('latin1', 0, bytes.indexOf('\n'));
      lines.push(line);
      const text = answer(line);
      if (text === undefined) {
        socket.destroy();
        return;
      }
      socket.write(text);
      const guest = connect(target).on('error', () => undefined);
      socket.pipe(guest).pipe(socket);
      socket.once('close', () => guest.destroy());
    });
  });
  return { file, lines };
}

describe('a hybrid vsock endpoint', () => {
  it('asks for the port, and speaks with the agent behind it', async () => {
    const { socket } = await localAgent();
    const { file, lines } = await vmm(socket, () => 'OK 1073741824\n');
    const agent = await dial({ kind: 'hybrid-vsock', path: file, port: 8080 });
    expect(await agent.info()).toMatchObject({ protocol: 1 });
    expect(lines).toEqual(['CONNECT 8080']);
  });

  it('waits for a guest that does not listen yet', async () => {
    const { socket } = await localAgent();
    let attempts = 0;
    const { file } = await vmm(socket, () => (++attempts < 3 ? undefined : 'OK 1\n'));
    const agent = await dial({ kind: 'hybrid-vsock', path: file, port: 8080 });
    expect(await agent.info()).toMatchObject({ protocol: 1 });
    expect(attempts).toBe(3);
  });

  it.each([
    ['nobody listens', undefined, 'nobody listens in the guest: vsock port 8080.'],
    [
      'an answer of another kind',
      'HTTP/1.1 400 Bad Request\r\n',
      'socket does not lead to vsock ports: vsock port 8080.',
    ],
    ['an answer without end', 'O'.repeat(100_000), 'socket does not lead to vsock ports: vsock port 8080.'],
  ])('says that it met %s', async (_what, answer, sentence) => {
    const { file } = await vmm('/no/such', () => answer);
    await expect(dial({ kind: 'hybrid-vsock', path: file, port: 8080 }, 500)).rejects.toMatchObject({
      code: 'boot-timeout',
      message: expect.stringContaining(`agent did not answer: vm-x. ${sentence}`) as string,
    });
  });
});

describe('a unix endpoint', () => {
  it('says that the socket is not there, is stale, or closes at once, and what the caller said', async () => {
    const directory = await temporaryDirectory();
    const missing = path.join(directory, 'missing');
    await expect(dial({ kind: 'unix', path: missing }, 300)).rejects.toThrow(
      `agent did not answer: vm-x. socket is not there: ${missing}. The VM does not run, or not yet. Give it more time.`,
    );
    const stale = path.join(directory, 'stale');
    makeStale(stale);
    await expect(dial({ kind: 'unix', path: stale }, 300)).rejects.toThrow(`socket is stale: ${stale}.`);
    const closing = path.join(directory, 'closing');
    await listen(closing, (socket) => socket.destroy());
    await expect(dial({ kind: 'unix', path: closing }, 300)).rejects.toThrow('socket closes every connection at once');
    const silent = path.join(directory, 'silent');
    await listen(silent, (socket) => socket.resume());
    await expect(dial({ kind: 'unix', path: silent }, 300)).rejects.toThrow('no agent answers on it');
  });

  it('may have a path that is too long for a socket', async () => {
    const { socket } = await localAgent();
    const deep = path.join(await temporaryDirectory(), 'x'.repeat(120));
    await mkdir(deep);
    const file = path.join(deep, 'control.sock');
    // A listener there needs a short name itself: Tart changes its directory, this goes by /proc.
    const directory = await open(deep);
    await listen(`/proc/self/fd/${directory.fd}/control.sock`, (client) => {
      const guest = connect(socket).on('error', () => undefined);
      client.pipe(guest).pipe(client);
    });
    await directory.close();
    const agent = await dial({ kind: 'unix', path: file });
    expect(await agent.info()).toMatchObject({ protocol: 1 });
    expect(await shortcutsTo(file)).toEqual([file]);
    await agent.close();
    expect(await shortcutsTo(file)).toEqual([]);
  });
});

describe('a command endpoint', () => {
  it('speaks with an agent on the standard input and output of a program, and ends it', async () => {
    const directory = await temporaryDirectory();
    const pidFile = path.join(directory, 'pid');
    const script = `echo $$ > ${pidFile}; exec ${AGENT_BINARY} serve --listen stdio`;
    const agent = await dial({ kind: 'command', argv: ['sh', '-c', script] });
    expect(await agent.info()).toMatchObject({ protocol: 1 });
    let output = 0;
    const onStdout = (bytes: Uint8Array): void => void (output += bytes.length);
    const program = { kind: 'argv', argv: ['head', '-c', '20000000', '/dev/zero'] } as const;
    await agent.exec({ program, signal: AbortSignal.timeout(30_000), onStdout, onStderr: () => undefined });
    expect(output).toBe(20_000_000);
    const pid = Number(await readFile(pidFile, 'utf8'));
    expect(isAlive(pid)).toBe(true);
    await agent.close();
    await expect.poll(() => isAlive(pid)).toBe(false);
  });

  it('shows what the program said when it leads to no agent', async () => {
    const argv = ['sh', '-c', 'echo "no route to host" >&2; exit 255'];
    await expect(dial({ kind: 'command', argv }, 500)).rejects.toMatchObject({
      code: 'boot-timeout',
      detail: 'no route to host',
      message: expect.stringContaining('program does not lead to an agent: sh -c') as string,
    });
  });

  it('that is not installed is told at once', async () => {
    await expect(dial({ kind: 'command', argv: ['no-such-program'] })).rejects.toMatchObject({
      code: 'host-tool-missing',
    });
  });

  it('tells calls under way that the program ended', async () => {
    const directory = await temporaryDirectory();
    const pidFile = path.join(directory, 'pid');
    const script = `echo $$ > ${pidFile}; exec ${AGENT_BINARY} serve --listen stdio`;
    const agent = await dial({ kind: 'command', argv: ['sh', '-c', script] });
    const running = agent.exec({
      program: { kind: 'argv', argv: ['sleep', '1000'] },
      signal: AbortSignal.timeout(30_000),
      onStdout: () => undefined,
      onStderr: () => undefined,
    });
    running.catch(() => undefined);
    process.kill(Number(await readFile(pidFile, 'utf8')), 'SIGKILL');
    await expect(running).rejects.toMatchObject({ code: 'agent-unreachable' });
  });
});

function makeStale(file: string): void {
  const script = `require('node:net').createServer().listen(${JSON.stringify(file)}, () => process.kill(process.pid, 'SIGKILL'))`;
  spawnSync(process.execPath, ['-e', script]);
}

/** Links that lead to a socket by a shorter name. */
async function shortcutsTo(file: string): Promise<string[]> {
  const directories = (await readdir(tmpdir())).filter((name) => name.startsWith('vmr-'));
  const targets = directories.map((name) => readlink(path.join(tmpdir(), name, 's')).catch(() => ''));
  return (await Promise.all(targets)).filter((target) => target === file);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
