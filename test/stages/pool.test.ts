import path from 'node:path';

import { describe, expect, it, onTestFinished } from 'vitest';

import { DEFAULT_HOST_CONFIG, type CapacityLimits } from '../../src/config/host-config.js';
import type { VmRequest } from '../../src/core/job.js';
import { Timeline } from '../../src/core/log.js';
import { openHost } from '../../src/providers/host.js';
import type { Host } from '../../src/providers/provider.js';
import { withAgent } from '../../src/stages/attach.js';
import { cleanup } from '../../src/stages/cleanup.js';
import { giveUp } from '../../src/stages/give-up.js';
import { keepPool } from '../../src/stages/pool.js';
import { prepare, type PrepareRequest } from '../../src/stages/prepare.js';
import { reapOrphans } from '../../src/stages/reap.js';
import type { VmRecord } from '../../src/store/record.js';
import { deadProcess } from '../images/support.js';
import { AGENTS, keptLog } from '../support/fake-host.js';
import { temporaryDirectory } from '../support/temporary-directory.js';
import { processes } from '../store/vm-record.js';

const VM: VmRequest = { image: 'default', cpus: 1, memoryMiB: 512, network: 'none' };
const TIMES = { lookMs: 20, lookCloselyMs: 20, noRoomMs: 20, retryMs: 20 };

async function setUp(limits: Partial<CapacityLimits> = {}) {
  const capacity = { ...DEFAULT_HOST_CONFIG.capacity, memoryMiB: 2 ** 20, keepFreeMemoryMiB: 0, ...limits };
  const home = path.join(await temporaryDirectory(), 'home');
  const host = await openHost({
    ...{ home, provider: 'fake', agentDirectory: AGENTS },
    config: { ...DEFAULT_HOST_CONFIG, capacity },
  });
  onTestFinished(async () => {
    for (const name of await host.store.vms.names()) await cleanup(host, name, { keepLogs: false, log: keptLog() });
  });
  const pooled = async (): Promise<readonly VmRecord[]> => {
    const { records } = await host.store.vms.list();
    return records.filter(({ state }) => state === 'pooled');
  };
  return { host, pooled };
}

const soon = <T>(look: () => T) => expect.poll(look, { timeout: 20_000 });

/** A pool that is kept until the test ends it. */
function startPool(host: Host, size: number, vm = VM) {
  const ending = new AbortController();
  const log = keptLog();
  const context = { log, timeline: new Timeline(), signal: ending.signal };
  const ended = keepPool(host, { vm, size }, context, TIMES).then(
    () => undefined,
    (error: unknown) => error,
  );
  const end = async (): Promise<unknown> => {
    ending.abort();
    return ended;
  };
  onTestFinished(async () => {
    await end();
  });
  return { log, end, ended };
}

async function start(host: Host, name: string, vm: Partial<VmRequest> = {}, change: Partial<PrepareRequest> = {}) {
  const timeline = new Timeline();
  const log = keptLog();
  const request = {
    ...{ vm: { ...VM, ...vm }, name, owner: host.processes.self, expiresAt: Date.now() + 3_600_000 },
    ...{ bootTimeoutMs: 20_000, frontEnd: 'cli', job: 'job 1', ...change },
  };
  const record = await prepare(host, request, { log, timeline, signal: AbortSignal.timeout(50_000) });
  return { record, spans: timeline.spans.map((span) => span.name), log };
}

describe('a pool', () => {
  it('keeps VMs that wait, gives one to each job, and launches others', async () => {
    const { host, pooled } = await setUp();
    const { log, end } = startPool(host, 2);
    await soon(pooled).toHaveLength(2);
    const before = await pooled();
    expect(before[0]).toMatchObject({
      owner: processes.self,
      frontEnd: 'pool',
      job: undefined,
      cpus: 1,
      memoryMiB: 512,
    });

    const jobs = await Promise.all([start(host, 'vm-1'), start(host, 'vm-2')]);
    expect(new Set(jobs.map(({ record }) => record.vmm?.pid))).toEqual(new Set(before.map(({ vmm }) => vmm?.pid)));
    for (const { record, spans } of jobs) {
      const { agents } = host.store.vms.paths(record.name);
      expect(spans).toEqual(['claim', 'boot', 'resume']);
      expect(record).toMatchObject({ state: 'ready', frontEnd: 'cli', job: 'job 1' });
      expect(record.endpoint).toEqual({ kind: 'unix', path: agents[0] });
      expect(await host.store.vms.read(record.name)).toEqual(record);
    }
    await soon(pooled).toHaveLength(2);
    expect(log.lines).toContain(`info: VM ${before[0]?.name ?? ''} was taken: it is ${nameOf(jobs, before[0])} now`);
    expect(log.lines.filter((line) => line === 'info: 2 of 2 VMs wait').length).toBeGreaterThan(1);

    expect(await end()).toMatchObject({ code: 'cancelled' });
    expect((await host.store.vms.names()).sort()).toEqual(['vm-1', 'vm-2']);
  });

  it('leaves nothing of its own when it ends', async () => {
    const { host, pooled } = await setUp();
    const { end } = startPool(host, 3);
    await soon(pooled).toHaveLength(3);
    const before = await pooled();
    await end();
    expect(await host.store.vms.names()).toEqual([]);
    expect(before.filter(({ vmm }) => vmm !== undefined && processes.isAlive(vmm))).toEqual([]);
    expect((await host.capacity.snapshot()).held.vms).toBe(0);
  });

  it.each([
    ['another size', { memoryMiB: 256 }],
    ['another network', { network: 'open' as const }],
    ['another disk', { diskMiB: 1024 }],
    ['more processors', { cpus: 2 }],
    ['no template', { template: 'never' as const }],
  ])('is not for a job that wants %s', async (_what, vm) => {
    const { host, pooled } = await setUp();
    startPool(host, 1);
    await soon(pooled).toHaveLength(1);
    expect((await start(host, 'vm-1', vm)).spans).toEqual(['create', 'boot', 'resume']);
    expect(await pooled()).toHaveLength(1);
  });

  it('replaces a VM that was removed, and one that ended', async () => {
    const { host, pooled } = await setUp();
    const { log } = startPool(host, 1);
    await soon(pooled).toHaveLength(1);
    const [first] = await pooled();
    expect(await giveUp(host, first?.name ?? '', first?.incarnation ?? '', log)).toBe(true);
    await soon(pooled).toEqual([expect.not.objectContaining({ name: first?.name })]);
    expect(log.lines).toContain(`info: VM ${first?.name ?? ''} is gone: taken or removed`);

    const [second] = await pooled();
    process.kill(second?.vmm?.pid ?? 0, 'SIGKILL');
    await soon(() => log.lines).toContain(`info: gave up VM ${second?.name ?? ''}: it has ended`);
    await soon(pooled).toEqual([expect.not.objectContaining({ name: second?.name })]);
  });

  it('replaces its VMs when jobs would get others by now', async () => {
    const { host, pooled } = await setUp();
    let fingerprint = 'one';
    const { pool } = host.provider;
    if (pool === undefined) throw new Error('no pool');
    const provider = Object.assign(Object.create(host.provider) as Host['provider'], {
      pool: { ...pool, fingerprint: () => Promise.resolve(fingerprint) },
    });
    const { log } = startPool({ ...host, provider }, 1);
    await soon(pooled).toHaveLength(1);
    const [first] = await pooled();
    fingerprint = 'two';
    const line = `info: gave up VM ${first?.name ?? ''}: its template or image is another one by now`;
    await soon(() => log.lines).toContain(line);
    await soon(pooled).toEqual([expect.not.objectContaining({ name: first?.name })]);
  });

  it('asks the agents of guests for its provider, which makes templates of them', async () => {
    const { host, pooled } = await setUp();
    const { pool } = host.provider;
    if (pool === undefined) throw new Error('no pool');
    const launch: typeof pool.launch = async (request, context) => {
      const record = await pool.launch(request, context);
      const nobody = { kind: 'unix', path: path.join(host.store.paths.home, 'nobody') } as const;
      await expect(context.agentAnswers(nobody, AbortSignal.timeout(100))).rejects.toThrow();
      await context.agentAnswers(record.endpoint, context.signal);
      return record;
    };
    const provider = Object.assign(Object.create(host.provider) as Host['provider'], { pool: { ...pool, launch } });
    startPool({ ...host, provider }, 1);
    await soon(pooled).toHaveLength(1);
  });

  it('ends with the reason when not even its first VM can be launched', async () => {
    const { host } = await setUp({ memoryMiB: 256 });
    expect(await startPool(host, 1).ended).toMatchObject({ code: 'not-allowed' });
    expect(await host.store.vms.names()).toEqual([]);
    const provider = Object.assign(Object.create(host.provider) as Host['provider'], { pool: undefined });
    expect(await startPool({ ...host, provider }, 1).ended).toMatchObject({ code: 'invalid-input' });
  });

  it('gives its VMs to the reaper when its process was killed, but none that a job has', async () => {
    const { host, pooled } = await setUp();
    const { end } = startPool(host, 2);
    await soon(pooled).toHaveLength(2);
    await start(host, 'vm-1');
    const [left] = await pooled();
    const owner = await deadProcess(processes);
    await host.store.vms.update(left?.name ?? '', { owner });
    expect(await host.provider.pool?.claim(createRequestOf('vm-2', host), contextOf())).not.toMatchObject({
      vmm: left?.vmm,
    });
    expect(await reapOrphans(host, keptLog())).toContainEqual({ name: left?.name, reason: 'owner is gone' });
    expect((await host.store.vms.read('vm-1'))?.state).toBe('ready');
    await end();
  });

  it('has no guest for who asks before a job does', async () => {
    const { host, pooled } = await setUp();
    startPool(host, 1);
    await soon(pooled).toHaveLength(1);
    const [record] = await pooled();
    if (record === undefined) throw new Error('none waits');
    const context = { log: keptLog(), signal: AbortSignal.timeout(10_000) };
    await expect(withAgent(host, record, context, () => Promise.resolve())).rejects.toThrow(
      'VM waits in the pool: it has no guest yet',
    );
  });
});

describe('a job that finds no room beside a pool', () => {
  it.each([60_000, 0])('gets that of VMs that wait, and of no more than it needs (--wait %d)', async (waitMs) => {
    const { host, pooled } = await setUp({ memoryMiB: 2048 });
    const { log } = startPool(host, 4);
    await soon(pooled).toHaveLength(4);
    const job = await start(host, 'vm-1', { memoryMiB: 1000 }, { waitMs });
    expect(job.spans).toEqual(['room', 'create', 'boot', 'resume']);
    expect(
      job.log.lines.filter((line) => line.includes('which waited for a job: needs 1000 MiB of memory')),
    ).toHaveLength(2);
    expect(await pooled()).toHaveLength(2);
    await soon(() => log.lines).toContain('info: there is no room for more VMs that wait');
    await cleanup(host, 'vm-1', { keepLogs: false, log });
    await soon(pooled).toHaveLength(4);
  });

  it('is not overtaken by one that would take a VM of the pool', async () => {
    const { host, pooled } = await setUp({ vms: 2 });
    const { end } = startPool(host, 1);
    await soon(pooled).toHaveLength(1);
    await start(host, 'vm-1', { memoryMiB: 256 });
    const ticket = host.capacity.ticket('vm-2', 'i2', { cpus: 1, memoryMiB: 256, diskMiB: 1024 });
    await host.capacity.admit(ticket, AbortSignal.timeout(10_000));
    const late = start(host, 'vm-3', {}, { waitMs: 0 });
    await expect(late).rejects.toMatchObject({ code: 'no-capacity' });
    await host.capacity.withdraw(ticket);
    expect((await start(host, 'vm-4')).spans).toContain('claim');
    await end();
  });
});

function nameOf(jobs: readonly { record: VmRecord }[], pooled: VmRecord | undefined): string {
  return jobs.find(({ record }) => record.vmm?.pid === pooled?.vmm?.pid)?.record.name ?? '';
}

function createRequestOf(name: string, host: Host) {
  return {
    ...{ ...VM, cpus: 1, name, incarnation: name, boot: undefined, owner: host.processes.self },
    ...{ expiresAt: Date.now() + 60_000, frontEnd: 'cli', job: undefined },
  };
}

function contextOf() {
  const signal = AbortSignal.timeout(10_000);
  return { log: keptLog(), timeline: new Timeline(), signal, agentAnswers: () => Promise.resolve() };
}
