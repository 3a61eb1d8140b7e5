import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir } from 'node:fs/promises';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

import { DEFAULT_HOST_CONFIG, type CapacityLimits } from '../../src/config/host-config.js';
import { VmRunnerError } from '../../src/core/errors.js';
import { Timeline } from '../../src/core/log.js';
import { openHost } from '../../src/providers/host.js';
import type { Host } from '../../src/providers/provider.js';
import { cleanup } from '../../src/stages/cleanup.js';
import { prepare, type PrepareRequest } from '../../src/stages/prepare.js';
import { AGENTS, keptLog } from '../support/fake-host.js';
import { temporaryDirectory } from '../support/temporary-directory.js';

/** A host with that much room, whatever this machine has. */
async function hostWith(limits: Partial<CapacityLimits>): Promise<Host> {
  const capacity = { ...DEFAULT_HOST_CONFIG.capacity, memoryMiB: 2 ** 20, keepFreeMemoryMiB: 0, ...limits };
  const home = path.join(await temporaryDirectory(), 'home');
  const config = { ...DEFAULT_HOST_CONFIG, capacity };
  return openHost({ home, provider: 'fake', agentDirectory: AGENTS, config });
}

function request(host: Host, name: string, change: Partial<PrepareRequest> = {}): PrepareRequest {
  return {
    vm: { image: 'default', cpus: undefined, memoryMiB: 512, network: 'none' },
    name,
    owner: host.processes.self,
    expiresAt: Date.now() + 3_600_000,
    bootTimeoutMs: 20_000,
    frontEnd: 'cli',
    job: undefined,
    ...change,
  };
}

function context(signal = AbortSignal.timeout(50_000)) {
  return { log: keptLog(), timeline: new Timeline(), signal };
}

const spanNames = ({ timeline }: { readonly timeline: Timeline }): string[] => timeline.spans.map(({ name }) => name);
const end = (host: Host, name: string): Promise<unknown> => cleanup(host, name, { keepLogs: false, log: keptLog() });

describe('a job that finds no room', () => {
  it('waits, says why and in which place, and runs when there is some', async () => {
    const host = await hostWith({ vms: 1 });
    const first = context();
    await prepare(host, request(host, 'vm-1'), first);
    expect(spanNames(first)).not.toContain('room');

    const second = context();
    const waiting = prepare(host, request(host, 'vm-2'), second);
    const line = 'info: waiting for room: place 1 of 1; needs one more VM, 1 of 1 are there (held by 1 VM)';
    await expect.poll(() => second.log.lines).toContain(line);
    const third = context();
    const behind = prepare(host, request(host, 'vm-3'), third);
    await expect.poll(() => third.log.lines).toContainEqual(expect.stringContaining('place 2 of 2'));

    await end(host, 'vm-1');
    expect(await waiting).toMatchObject({ name: 'vm-2', state: 'ready' });
    expect(spanNames(second)).toEqual(['room', 'create', 'boot', 'resume']);
    await expect.poll(() => third.log.lines).toContainEqual(expect.stringContaining('place 1 of 1'));
    await end(host, 'vm-2');
    expect(await behind).toMatchObject({ name: 'vm-3', state: 'ready' });
    await end(host, 'vm-3');
    expect((await host.capacity.snapshot()).held.vms).toBe(0);
  });

  it('gives up in time, with the reason, and leaves the queue', async () => {
    const host = await hostWith({ memoryMiB: 768 });
    await prepare(host, request(host, 'vm-1'), context());
    const late = prepare(host, request(host, 'vm-2', { waitMs: 250 }), context());
    await expect(late).rejects.toMatchObject({ code: 'no-capacity', blame: 'infra' });
    await expect(late).rejects.toThrow(
      'no room for a VM on this host within 250 ms: needs 512 MiB of memory, 256 MiB of 768 MiB are free (held by 1 VM). See who has it with: vm-runner ps.',
    );
    expect((await host.capacity.snapshot()).queue).toEqual([]);
    expect(await host.store.vms.names()).toEqual(['vm-1']);
    await end(host, 'vm-1');
  });

  it('does not wait at all when it shall not', async () => {
    const host = await hostWith({ vms: 1, waitMs: 0 });
    await prepare(host, request(host, 'vm-1'), context());
    const refused = prepare(host, request(host, 'vm-2'), context());
    await expect(refused).rejects.toThrow('no room for a VM on this host now: needs one more VM');
    await end(host, 'vm-1');
  });

  it('can be cancelled while it waits', async () => {
    const host = await hostWith({ vms: 1 });
    await prepare(host, request(host, 'vm-1'), context());
    const cancel = new AbortController();
    const second = context(cancel.signal);
    const waiting = prepare(host, request(host, 'vm-2'), second);
    await expect.poll(() => second.log.lines).toContainEqual(expect.stringContaining('waiting for room'));
    cancel.abort();
    await expect(waiting).rejects.toMatchObject({ code: 'cancelled' });
    expect((await host.capacity.snapshot()).queue).toEqual([]);
    await end(host, 'vm-1');
  });

  it('is told at once when there will never be any', async () => {
    const host = await hostWith({ memoryMiB: 256 });
    await expect(prepare(host, request(host, 'vm-1'), context())).rejects.toMatchObject({ code: 'not-allowed' });
    expect(await readdir(host.store.paths.vms)).toEqual([]);
  });

  it('is told at once when the disk is full and no VM is there whose end would help', async () => {
    const host = await hostWith({ keepFreeDiskMiB: 2 ** 40 });
    await expect(prepare(host, request(host, 'vm-1'), context())).rejects.toMatchObject({ code: 'disk-full' });
  });

  it('takes the room of a VM whose owner was killed meanwhile', async () => {
    const host = await hostWith({ vms: 1 });
    const child = spawn('cat');
    await once(child, 'spawn');
    await prepare(host, request(host, 'vm-1', { owner: host.processes.identify(child.pid ?? 0) }), context());
    const second = context();
    const waiting = prepare(host, request(host, 'vm-2'), second);
    await expect.poll(() => second.log.lines).toContainEqual(expect.stringContaining('waiting for room'));
    child.kill('SIGKILL');
    await once(child, 'close');
    expect(await waiting).toMatchObject({ name: 'vm-2' });
    expect(second.log.lines).toContain('info: removed VM vm-1: owner is gone');
    await end(host, 'vm-2');
  });

  it('holds nothing any more when its VM cannot be made', async () => {
    const host = await hostWith({ vms: 1 });
    const provider = {
      ...host.provider,
      name: 'broken',
      bootsImages: false,
      defaultCpus: () => Promise.resolve(1),
      create: () => Promise.reject(new VmRunnerError('vm-start-failed', 'broken')),
    };
    await expect(prepare({ ...host, provider }, request(host, 'vm-1'), context())).rejects.toThrow('broken');
    expect((await host.capacity.snapshot()).held.vms).toBe(0);
  });
});
