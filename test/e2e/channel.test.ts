import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

import { describe, expect, inject, it, onTestFinished } from 'vitest';

import { GuestAgent } from '../../src/guest/agent.js';
import { resetPort } from '../../src/guest/reset.js';
import { LinuxProcessTable } from '../../src/process/table.js';
import { hostWithImages } from '../support/e2e.js';
import { bootGuest, shell } from '../support/guest.js';

// What a virtio-serial port does that no socket does: proto/CHANNEL.md.

const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
/** A DATA frame that announces more than comes: whoever is killed in the middle of a write leaves such a one. */
const TORN_FRAME = Buffer.concat([Buffer.from([0, 0x40, 0, 0, 0, 0, 0, 0, 1]), randomBytes(5000)]);
const ROUNDS = 15;

async function portOf(path: string): Promise<Socket> {
  const socket = connect(path);
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  return socket;
}

describe('a port of the agent', () => {
  it('gives every client a session of its own, whatever the last one left in the middle of', async () => {
    const host = await hostWithImages(inject('sharedHome'));
    const { agent, paths } = await bootGuest(host, 'torn', { memoryMiB: 512, network: 'none' });
    // The agent of the test holds the first port.
    const port = paths.agents[1] ?? '';
    for (let round = 0; round < ROUNDS; round += 1) {
      const killed = await portOf(port);
      await resetPort(killed, 20_000);
      // Some leave at once, others when their bytes are on the way.
      killed.write(Buffer.concat([PREFACE, ...Array.from({ length: round * 3 }, () => TORN_FRAME)]));
      if (round % 2 === 0) await new Promise((resolve) => setImmediate(resolve));
      killed.destroy();
      const next = await GuestAgent.connect(
        { kind: 'serial', paths: [port] },
        { processes: new LinuxProcessTable(), signal: AbortSignal.timeout(30_000) },
      );
      let said = '';
      await shell(next, `echo round ${round}`, AbortSignal.timeout(20_000), (text) => (said += text));
      expect(said).toBe(`round ${round}\n`);
      await next.close();
    }
    await shell(agent, 'true', AbortSignal.timeout(20_000));
  });

  it('ends what a killed client ran, and never mixes its output into the next one', async () => {
    const host = await hostWithImages(inject('sharedHome'));
    const { agent, paths } = await bootGuest(host, 'killed', { memoryMiB: 512, network: 'none' });
    const endpoint = { kind: 'serial', paths: [paths.agents[1] ?? ''] } as const;
    const mark = randomBytes(6).toString('hex');
    for (let round = 0; round < 5; round += 1) {
      const processes = new LinuxProcessTable();
      const first = await GuestAgent.connect(endpoint, { processes, signal: AbortSignal.timeout(30_000) });
      const flood = first.exec({
        program: { kind: 'argv', argv: ['sh', '-c', `while :; do echo ${mark}; done`] },
        onStdout: () => undefined,
        onStderr: () => undefined,
        signal: AbortSignal.timeout(60_000),
      });
      const lost = expect(flood).rejects.toMatchObject({ code: 'agent-unreachable' });
      await first.close();
      await lost;
      const second = await GuestAgent.connect(endpoint, { processes, signal: AbortSignal.timeout(30_000) });
      let said = '';
      await shell(second, 'echo clean', AbortSignal.timeout(20_000), (text) => (said += text));
      expect(said).toBe('clean\n');
      await second.close();
    }
    let left = '';
    const look = `grep -lsa '[${mark.charAt(0)}]${mark.slice(1)}' /proc/[0-9]*/cmdline | wc -l`;
    await expect
      .poll(
        async () => {
          left = '';
          await shell(agent, look, AbortSignal.timeout(20_000), (text) => (left += text));
          return left.trim();
        },
        { timeout: 20_000 },
      )
      .toBe('0');
  });

  it('is silent to a second client until the first one leaves', async () => {
    const host = await hostWithImages(inject('sharedHome'));
    const { paths } = await bootGuest(host, 'second', { memoryMiB: 512, network: 'none' });
    const port = paths.agents[2] ?? '';
    const first = await portOf(port);
    onTestFinished(() => void first.destroy());
    await resetPort(first, 20_000);
    const second = await portOf(port);
    onTestFinished(() => void second.destroy());
    await expect(resetPort(second, 1000)).rejects.toThrow('agent did not answer on its port');
    first.destroy();
    second.destroy();
    const third = await portOf(port);
    onTestFinished(() => void third.destroy());
    await resetPort(third, 20_000);
  });
});
