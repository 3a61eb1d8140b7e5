import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';

import { describe, expect, inject, it } from 'vitest';

import { USER_NETWORK } from '../../src/core/network.js';
import type { GuestAgent } from '../../src/guest/agent.js';
import type { Identity } from '../../src/guest/system.js';
import { hostWithImages } from '../support/e2e.js';
import { bareGuest, bootGuest, shell } from '../support/guest.js';

// What the agent does to a guest whose PID 1 it is.

const SECOND_MS = 1000;
const HOUR_MS = 3600 * SECOND_MS;
const signal = (): AbortSignal => AbortSignal.timeout(60_000);

const identity = (changes: Partial<Identity>): Identity => ({
  unixNanos: 0n,
  entropy: new Uint8Array(),
  hostname: '',
  machineId: '',
  network: undefined,
  ...changes,
});

const clock = (milliseconds: number): Identity => identity({ unixNanos: BigInt(milliseconds) * 1_000_000n });

async function output(agent: GuestAgent, script: string): Promise<string> {
  let text = '';
  await shell(agent, script, signal(), (part) => (text += part));
  return text.trim();
}

/** The guest's clock less this host's, in milliseconds; as good as the call is quick. */
async function lead(agent: GuestAgent): Promise<number> {
  return Number(await output(agent, 'date +%s%3N')) - Date.now();
}

describe('resume', () => {
  it('steps the clock when it is behind or far ahead, and leaves a small lead alone', async () => {
    const host = await hostWithImages(inject('sharedHome'));
    const { agent } = await bootGuest(host, 'clock', { memoryMiB: 512, network: 'none' });
    expect(Math.abs(await lead(agent))).toBeLessThan(2 * SECOND_MS);
    await agent.resume(clock(Date.now() + HOUR_MS));
    expect(await lead(agent)).toBeGreaterThan(HOUR_MS - 5 * SECOND_MS);
    // Far ahead now: back to the host's.
    await agent.resume(clock(Date.now()));
    expect(Math.abs(await lead(agent))).toBeLessThan(2 * SECOND_MS);
    // Four seconds ahead of what it is told is a lead that heals by itself.
    await agent.resume(clock(Date.now() - 4 * SECOND_MS));
    expect(Math.abs(await lead(agent))).toBeLessThan(2 * SECOND_MS);
  });

  it('gives a guest its names, its randomness and its address, and takes the address away again', async () => {
    const host = await hostWithImages(inject('sharedHome'));
    const { agent } = await bootGuest(host, 'names', { memoryMiB: 512, network: 'open' });
    const [hostname, machineId] = ['another-name', randomBytes(16).toString('hex')];
    const entropy = randomBytes(64);
    const done = await agent.resume(identity({ hostname, machineId, entropy, network: USER_NETWORK }));
    expect([...done].sort()).toEqual(['entropy', 'hostname', 'machine-id', 'network']);
    expect(await output(agent, 'hostname; cat /etc/hostname /etc/machine-id; grep -c another-name /etc/hosts')).toBe(
      [hostname, hostname, machineId, '1'].join('\n'),
    );
    expect(await agent.resolveAddresses()).toContain(USER_NETWORK.address);
    await agent.resume(identity({}));
    await expect(agent.resolveAddresses()).rejects.toThrow(/no address/);
    expect((await agent.info()).hostname).toBe(hostname);
  });

  it('never gives two guests the same randomness', async () => {
    const host = await hostWithImages(inject('sharedHome'));
    const seen = new Set<string>();
    for (const name of ['random-one', 'random-two']) {
      const { agent } = await bootGuest(host, name, { memoryMiB: 512, network: 'none' });
      seen.add(await output(agent, 'head -c 16 /dev/urandom | od -An -tx1; cat /proc/sys/kernel/random/uuid'));
    }
    expect(seen.size).toBe(2);
  });

  it('refuses what makes no sense before anything of it is done', async () => {
    const host = await hostWithImages(inject('sharedHome'));
    const { agent } = await bootGuest(host, 'nonsense', { memoryMiB: 512, network: 'none' });
    const before = await agent.info();
    const network = { ...USER_NETWORK, address: '10.0.2' };
    for (const wrong of [{ hostname: 'a\nb' }, { machineId: 'xyz' }, { entropy: randomBytes(8) }, { network }]) {
      const asked = identity({ hostname: 'changed', ...wrong });
      await expect(agent.resume(asked)).rejects.toMatchObject({ code: 'agent-protocol' });
    }
    expect((await agent.info()).hostname).toBe(before.hostname);
  });
});

describe('the end of a guest', () => {
  it.each([
    ['the agent is told', (agent: GuestAgent) => agent.shutdown()],
    ['PID 1 gets the signal that poweroff sends', (agent: GuestAgent) => shell(agent, 'kill -USR2 1', signal())],
  ])('comes when %s: programs are ended, disks are whole', async (_how, end) => {
    const host = await hostWithImages(inject('sharedHome'));
    const name = `end-${randomBytes(3).toString('hex')}`;
    const { agent, paths } = await bareGuest(host, name, 512);
    await shell(agent, 'echo kept >/root/file', signal());
    await agent.detach({ program: { kind: 'argv', argv: ['sleep', '1000'] } });
    const { vmm } = (await host.store.vms.read(name)) ?? {};
    if (vmm === undefined) throw new Error('no process of the VM is known');
    await end(agent).catch(() => undefined);
    await expect.poll(() => host.processes.isAlive(vmm), { timeout: 30_000 }).toBe(false);
    const console = await readFile(paths.console, 'utf8');
    expect(console).toContain('power off');
    expect(console).not.toContain('not written back in time');
  });

  it('does not come from signals that a stray kill sends', async () => {
    const host = await hostWithImages(inject('sharedHome'));
    const { agent } = await bareGuest(host, 'stray', 512);
    await shell(agent, 'kill -TERM 1; kill -HUP 1; sleep 0.5', signal());
    expect(await output(agent, 'cat /proc/1/comm')).toBe('init');
  });

  it("does not come from what a job does to process 1, which is not the guest's", async () => {
    const host = await hostWithImages(inject('sharedHome'));
    const { agent } = await bootGuest(host, 'job-kills', { memoryMiB: 512, network: 'none' });
    await shell(agent, 'kill -KILL 1; kill -USR2 1; kill -TERM 1; (kill -9 -1) || true', signal()).catch(
      () => undefined,
    );
    expect(await output(agent, 'cat /proc/1/comm')).toBe('vm-agent-holder');
  });
});
