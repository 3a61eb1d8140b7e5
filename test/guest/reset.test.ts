import { once } from 'node:events';
import { createServer, connect, type Server, type Socket } from 'node:net';
import path from 'node:path';

import { describe, expect, it, onTestFinished } from 'vitest';

import { findAnswer, resetPort } from '../../src/guest/reset.js';
import { temporaryDirectory } from '../support/temporary-directory.js';

const MAGIC = Buffer.from('ff7445d01c5d6ba442f608543ca0f77a', 'hex');

/** Both ends of a real unix socket: the host's, and what stands for the agent. */
async function port(): Promise<{ host: Socket; agent: Socket }> {
  const file = path.join(await temporaryDirectory(), 's');
  const server: Server = createServer();
  server.listen(file);
  await once(server, 'listening');
  const host = connect(file);
  const [agent] = (await once(server, 'connection')) as [Socket];
  onTestFinished(() => {
    host.destroy();
    agent.destroy();
    server.close();
  });
  return { host, agent };
}

async function readPreamble(agent: Socket): Promise<Buffer> {
  const [bytes] = (await once(agent, 'data')) as [Buffer];
  return bytes;
}

describe('resetPort', () => {
  it('sends magic, version and a nonce, and is content with the same', async () => {
    const { host, agent } = await port();
    const reset = resetPort(host, 5000);
    const preamble = await readPreamble(agent);
    expect(preamble.length).toBe(33);
    expect(preamble.subarray(0, 17)).toEqual(Buffer.concat([MAGIC, Buffer.of(1)]));
    agent.write(preamble);
    await reset;
  });

  it('never uses a nonce twice', async () => {
    const nonces = new Set<string>();
    for (let round = 0; round < 3; round += 1) {
      const { host, agent } = await port();
      const reset = resetPort(host, 5000);
      const preamble = await readPreamble(agent);
      nonces.add(preamble.subarray(17).toString('hex'));
      agent.write(preamble);
      await reset;
    }
    expect(nonces.size).toBe(3);
  });

  it('discards what the last client left, in whatever pieces it comes, and keeps what follows the answer', async () => {
    const { host, agent } = await port();
    const reset = resetPort(host, 5000);
    const preamble = await readPreamble(agent);
    const stale = Buffer.concat([Buffer.alloc(100_000, 'x'), MAGIC, Buffer.alloc(17, 7), MAGIC.subarray(0, 9)]);
    for (const byte of [
      stale,
      preamble.subarray(0, 5),
      preamble.subarray(5, 20),
      Buffer.concat([preamble.subarray(20), Buffer.from('h2')]),
    ]) {
      agent.write(byte);
    }
    await reset;
    host.resume();
    const [rest] = (await once(host, 'data')) as [Buffer];
    expect(rest.toString()).toBe('h2');
  });

  it('says that another version of the channel is spoken', async () => {
    const { host, agent } = await port();
    const reset = resetPort(host, 5000);
    const preamble = await readPreamble(agent);
    preamble[16] = 9;
    agent.write(preamble);
    await expect(reset).rejects.toMatchObject({
      code: 'agent-protocol',
      message:
        'agent speaks version 9 of the channel, not 1. The image was built by another version of vm-runner: destroy the VM and start it again.',
    });
  });

  it('gives up when no answer comes', async () => {
    const { host } = await port();
    await expect(resetPort(host, 20)).rejects.toMatchObject({
      code: 'agent-unreachable',
      message: 'agent did not answer on its port',
    });
  });

  it('gives up at once when the port closes', async () => {
    const { host, agent } = await port();
    const reset = resetPort(host, 60_000);
    await readPreamble(agent);
    agent.destroy();
    await expect(reset).rejects.toThrow('port was closed before the agent answered');
  });
});

describe('findAnswer', () => {
  const nonce = Buffer.from('000102030405060708090a0b0c0d0e0f', 'hex');

  it('is not fooled by the nonce of another client', () => {
    const other = Buffer.concat([MAGIC, Buffer.of(1), Buffer.alloc(16, 0xee)]);
    expect(findAnswer(other, nonce)).toBeUndefined();
    expect(findAnswer(Buffer.concat([other, MAGIC, Buffer.of(1), nonce]), nonce)).toEqual({ version: 1, end: 66 });
  });

  it('is not fooled by a magic that is cut short by another', () => {
    const torn = MAGIC.subarray(0, 15);
    expect(findAnswer(Buffer.concat([torn, MAGIC, Buffer.of(1), nonce]), nonce)).toEqual({ version: 1, end: 48 });
  });
});
