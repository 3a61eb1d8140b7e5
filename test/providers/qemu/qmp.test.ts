import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import path from 'node:path';

import { describe, expect, it, onTestFinished } from 'vitest';

import { QmpClient } from '../../../src/providers/qemu/qmp.js';
import { rejection } from '../../images/support.js';
import { temporaryDirectory } from '../../support/temporary-directory.js';

const GREETING = '{"QMP": {"version": {"qemu": {"major": 7}}, "capabilities": []}}\r\n';

interface Command {
  readonly execute: string;
  readonly id: number;
  readonly arguments?: unknown;
}

/** A server on a real socket that says what the test tells it to, to each command that comes. */
async function serve(answer: (command: Command, socket: Socket) => void, greeting = GREETING): Promise<string> {
  const file = path.join(await temporaryDirectory(), 'qmp');
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.write(greeting);
    let rest = '';
    socket.setEncoding('utf8').on('data', (text: string) => {
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) {
        const command = JSON.parse(line) as Command;
        if (command.execute === 'qmp_capabilities') socket.write(`{"return": {}, "id": ${command.id}}\r\n`);
        else answer(command, socket);
      }
    });
  });
  server.listen(file);
  await once(server, 'listening');
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return file;
}

async function connected(socket: string, options = {}): Promise<QmpClient> {
  const client = await QmpClient.connect(socket, options);
  if (client === undefined) throw new Error('nobody listens');
  return client;
}

describe('QmpClient', () => {
  it('gives answers to the commands that they belong to, whatever their order', async () => {
    const first: Command[] = [];
    const socket = await serve((command, connection) => {
      first.push(command);
      if (first.length < 2) return;
      for (const { id, execute } of first.reverse()) connection.write(`${JSON.stringify({ return: execute, id })}\n`);
    });
    using client = await connected(socket);
    expect(await Promise.all([client.execute('query-status'), client.execute('query-name')])).toEqual([
      'query-status',
      'query-name',
    ]);
  });

  it('sends arguments and puts answers together that come in pieces', async () => {
    const socket = await serve((command, connection) => {
      const line = Buffer.from(
        `${JSON.stringify({ return: { got: command.arguments, text: 'ä€' }, id: command.id })}\r\n`,
      );
      const send = (at: number): void => {
        if (at < line.length) connection.write(line.subarray(at, at + 1), () => setImmediate(() => send(at + 1)));
      };
      send(0);
    });
    using client = await connected(socket);
    expect(await client.execute('set_link', { name: 'net0', up: false })).toEqual({
      got: { name: 'net0', up: false },
      text: 'ä€',
    });
  });

  it('sends what is asked together with connecting in one go, and waits for the event, too', async () => {
    const asked: string[] = [];
    const socket = await serve(({ id, execute }, connection) => {
      asked.push(execute);
      connection.write(`{"return": {}, "id": ${id}}\r\n`);
      if (asked.length < 2) return;
      connection.write('{"event": "MIGRATION", "timestamp": {}}\r\n');
      setTimeout(() => connection.write('{"event": "RESUME", "timestamp": {}}\r\n'), 20);
    }, '');
    // No greeting comes before the commands are there.
    const commands = [{ execute: 'a' }, { execute: 'b', arguments: { uri: 'fd:3' } }];
    await expect(QmpClient.connect(socket, { timeoutMs: 200 }, { commands, event: 'RESUME' })).rejects.toThrow(
      'QEMU did not give its greeting within 200 ms',
    );
    expect(asked).toEqual(['a', 'b']);
  });

  it('connects when the event came', async () => {
    const socket = await serve(({ id }, connection) => {
      connection.write(`{"return": {}, "id": ${id}}\r\n{"event": "STOP"}\r\n{"event": "RESUME"}\r\n`);
    });
    using client = await QmpClient.connect(socket, {}, { commands: [{ execute: 'a' }], event: 'RESUME' });
    expect(client).toBeInstanceOf(QmpClient);
    await expect(
      QmpClient.connect(socket, { timeoutMs: 50 }, { commands: [{ execute: 'a' }], event: 'WAKEUP' }),
    ).rejects.toThrow('QEMU did not give the event WAKEUP within 50 ms');
  });

  it("turns a refusal into an error with QEMU's sentence", async () => {
    const socket = await serve(({ id }, connection) => {
      connection.write(
        `{"id": ${id}, "error": {"class": "CommandNotFound", "desc": "The command foo has not been found"}}\n`,
      );
    });
    using client = await connected(socket);
    const error = await rejection(client.execute('foo'));
    expect(error.code).toBe('host-tool-failed');
    expect(error.message).toBe('QEMU refused a command: The command foo has not been found: CommandNotFound');
  });

  it('says that QEMU hung up when it does in the middle of an answer, and to every command after that', async () => {
    const socket = await serve((_command, connection) => connection.end('{"return": {"half'));
    using client = await connected(socket);
    expect(await rejection(client.execute('query-status'))).toMatchObject({
      code: 'vm-died',
      message: 'QEMU closed its control socket',
    });
    expect(await rejection(client.execute('query-status'))).toMatchObject({ code: 'vm-died' });
  });

  it('waits for no answer longer than it may', async () => {
    const socket = await serve(() => undefined);
    using client = await connected(socket, { timeoutMs: 50 });
    expect(await rejection(client.execute('query-status'))).toMatchObject({
      code: 'host-tool-failed',
      message: 'QEMU did not give an answer to query-status within 50 ms',
    });
  });

  it('waits for no greeting longer than it may', async () => {
    const socket = await serve(() => undefined, '');
    expect(await rejection(QmpClient.connect(socket, { timeoutMs: 50 }))).toMatchObject({
      message: 'QEMU did not give its greeting within 50 ms',
    });
  });

  it('does not take anything else for QEMU', async () => {
    const socket = await serve(() => undefined, 'SSH-2.0-OpenSSH_9.2\r\n');
    expect(await rejection(QmpClient.connect(socket))).toMatchObject({
      code: 'host-tool-failed',
      detail: 'SSH-2.0-OpenSSH_9.2\r',
    });
  });

  it('is undefined where nobody listens', async () => {
    expect(await QmpClient.connect(path.join(await temporaryDirectory(), 'qmp'))).toBeUndefined();
  });
});
