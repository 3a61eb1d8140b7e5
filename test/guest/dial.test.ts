import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import path from 'node:path';

import { describe, expect, it, onTestFinished } from 'vitest';

import { delay } from '../../src/core/deadline.js';
import { dialAgent } from '../../src/guest/dial.js';
import { LinuxProcessTable } from '../../src/process/table.js';
import { temporaryDirectory } from '../support/temporary-directory.js';

const processes = new LinuxProcessTable();

async function listen(port: string, onClient: (socket: Socket) => void): Promise<Server> {
  await rm(port, { force: true });
  const server = createServer((socket) => onClient(socket.on('error', () => undefined))).listen(port);
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  return server;
}

describe('a dialling that is given up', () => {
  it.each([20, 50, 80])('after %s ms leaves the port of a VM that ended to the next one', async (ms) => {
    const port = path.join(await temporaryDirectory(), 'port');
    const ended = await listen(port, (socket) => {
      socket.destroy();
      ended.close();
    });
    const dialling = dialAgent({ kind: 'serial', paths: [port] }, { processes, signal: AbortSignal.timeout(ms) });
    await expect(dialling).rejects.toThrow();
    let clients = 0;
    await listen(port, () => (clients += 1));
    // Longer than between any two attempts.
    await delay(1200);
    expect(clients).toBe(0);
  });

  // Sooner than the attempt itself would end.
  it('lets go of a port that does not answer', { timeout: 4000 }, async () => {
    const port = path.join(await temporaryDirectory(), 'port');
    const cancel = new AbortController();
    let closed: Promise<unknown> | undefined;
    await listen(port, (socket) => {
      closed = once(socket.resume(), 'close');
      socket.once('data', () => cancel.abort(new Error('enough')));
    });
    const dialling = dialAgent({ kind: 'serial', paths: [port] }, { processes, signal: cancel.signal });
    await expect(dialling).rejects.toThrow();
    await closed;
  });
});
