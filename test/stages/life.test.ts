import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, readdir, stat, utimes, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

import { VmRunnerError } from '../../src/core/errors.js';
import { Timeline } from '../../src/core/log.js';
import type { ProcessIdentity } from '../../src/core/process-identity.js';
import type { Host } from '../../src/providers/provider.js';
import { withAgent } from '../../src/stages/attach.js';
import { cleanup } from '../../src/stages/cleanup.js';
import { prepare, type PrepareRequest } from '../../src/stages/prepare.js';
import { collectGarbage, type GcOptions } from '../../src/stages/gc.js';
import { findOrphans, reapOrphans } from '../../src/stages/reap.js';
import { run } from '../../src/stages/run.js';
import { acquireLock } from '../../src/store/lock.js';
import { fakeHost, keptLog } from '../support/fake-host.js';
import { temporaryDirectory } from '../support/temporary-directory.js';

const HOUR_MS = 3_600_000;

function request(host: Host, change: Partial<PrepareRequest> = {}): PrepareRequest {
  return {
    vm: { image: 'default', cpus: undefined, memoryMiB: 512, network: 'none' },
    name: 'vm-test',
    owner: host.processes.self,
    expiresAt: Date.now() + HOUR_MS,
    bootTimeoutMs: 20_000,
    frontEnd: 'cli',
    job: undefined,
    ...change,
  };
}

function context(signal = AbortSignal.timeout(50_000)): {
  log: ReturnType<typeof keptLog>;
  timeline: Timeline;
  signal: AbortSignal;
} {
  return { log: keptLog(), timeline: new Timeline(), signal };
}

/** A host whose agent is a script of the test. */
async function hostWithAgent(script: string): Promise<Host> {
  const directory = path.join(await temporaryDirectory(), 'agents');
  await mkdir(path.join(directory, 'amd64'), { recursive: true });
  const file = path.join(directory, 'amd64/vm-agent');
  await writeFile(file, script);
  await chmod(file, 0o755);
  return fakeHost(directory);
}

async function endedProcess(host: Host): Promise<ProcessIdentity> {
  const child = spawn('cat');
  await once(child, 'spawn');
  const identity = host.processes.identify(child.pid ?? 0);
  child.kill('SIGKILL');
  await once(child, 'close');
  if (identity === undefined) throw new Error('the child was gone too early');
  return identity;
}

const ignore = { onStdout: () => undefined, onStderr: () => undefined };

describe('the life of a job', () => {
  it('is prepared, run and cleaned up', async () => {
    const host = await fakeHost();
    const { log, timeline, signal } = context();
    const record = await prepare(host, request(host), { log, timeline, signal });
    expect(record).toMatchObject({ name: 'vm-test', state: 'ready', owner: host.processes.self });
    const status = await withAgent(host, record, { log, signal }, (agent, either) =>
      run(agent, { ...ignore, program: { kind: 'argv', argv: ['sh', '-c', 'exit 3'] }, signal: either }),
    );
    expect(status).toMatchObject({ code: 3, signal: 0 });
    expect(timeline.spans.map((span) => span.name)).toEqual(['create', 'boot', 'resume']);
    expect(await cleanup(host, 'vm-test', { keepLogs: false, log: keptLog() })).toEqual({ logs: undefined });
    expect(await host.store.vms.names()).toEqual([]);
    await cleanup(host, 'vm-test', { keepLogs: false, log: keptLog() });
  });

  it('ends with the console when the agent never answers, and leaves only logs', async () => {
    const host = await hostWithAgent('#!/bin/sh\necho "kernel panic - not syncing"\nexec sleep 1000\n');
    const { log, timeline, signal } = context();
    const failed = await prepare(host, request(host, { bootTimeoutMs: 300 }), { log, timeline, signal }).catch(
      (error: unknown) => error,
    );
    expect(failed).toMatchObject({ blame: 'infra' });
    expect(JSON.stringify(failed) + String((failed as { detail?: string }).detail)).toContain(
      'kernel panic - not syncing',
    );
    expect(await host.store.vms.names()).toEqual([]);
    expect(await readdir(host.store.paths.logs)).toEqual(['vm-test']);
  });

  it('ends at once when the agent dies while it boots', async () => {
    const host = await hostWithAgent('#!/bin/sh\necho "no such disk" >&2\nexit 1\n');
    const { log, timeline, signal } = context();
    const failed = await prepare(host, request(host), { log, timeline, signal }).catch((error: unknown) => error);
    expect(failed).toMatchObject({ blame: 'infra', detail: expect.stringContaining('no such disk') as string });
    expect(await host.store.vms.names()).toEqual([]);
  });

  it('tells that the VM died when it dies under a running program', async () => {
    const host = await fakeHost();
    const { log, timeline, signal } = context();
    const record = await prepare(host, request(host), { log, timeline, signal });
    const running = withAgent(host, record, { log, signal }, (agent, either) =>
      run(agent, {
        ...ignore,
        program: { kind: 'argv', argv: ['sh', '-c', 'echo up; exec sleep 1000'] },
        signal: either,
        onStdout: () => void process.kill(record.vmm?.pid ?? 0, 'SIGKILL'),
      }),
    );
    await expect(running).rejects.toMatchObject({
      code: 'vm-died',
      blame: 'infra',
      message: 'VM ended by itself: vm-test',
    });
    await cleanup(host, 'vm-test', { keepLogs: false, log: keptLog() });
  });

  it('leaves nothing when it is cancelled while it boots', async () => {
    const host = await hostWithAgent('#!/bin/sh\nexec sleep 1000\n');
    const controller = new AbortController();
    const { log, timeline } = context();
    const preparing = prepare(host, request(host), { log, timeline, signal: controller.signal });
    const settled = preparing.catch((error: unknown) => error);
    await expect.poll(() => host.store.vms.names()).toEqual(['vm-test']);
    controller.abort();
    expect(await settled).toMatchObject({ code: 'cancelled' });
    expect(await host.store.vms.names()).toEqual([]);
  });

  it('does not touch a VM that has the name already', async () => {
    const host = await fakeHost();
    const first = context();
    await prepare(host, request(host), first);
    await expect(prepare(host, request(host), context())).rejects.toMatchObject({ code: 'invalid-input' });
    expect(await host.store.vms.names()).toEqual(['vm-test']);
    await cleanup(host, 'vm-test', { keepLogs: false, log: keptLog() });
  });
});

describe('a name that is taken', () => {
  it('costs its holder nothing when a provider fails before it has looked at the name', async () => {
    const host = await fakeHost();
    await prepare(host, request(host), context());
    const broken: Host = {
      ...host,
      provider: {
        ...host.provider,
        name: 'broken',
        bootsImages: false,
        defaultCpus: () => Promise.resolve(1),
        create: () => Promise.reject(new VmRunnerError('disk-full', 'no space left')),
      },
    };
    await expect(prepare(broken, request(host), context())).rejects.toThrow('no space left');
    expect(await host.store.vms.read('vm-test')).toMatchObject({ state: 'ready' });
    await cleanup(host, 'vm-test', { keepLogs: false, log: keptLog() });
  });
});

function gcNow(): GcOptions {
  return { dryRun: false, now: Date.now(), log: keptLog(), signal: new AbortController().signal };
}

describe('the reaper', () => {
  it('looks again before it destroys: the name may belong to a new VM by now', async () => {
    const host = await fakeHost();
    await prepare(host, request(host), context());
    await host.store.vms.update('vm-test', { expiresAt: 1 });
    const lock = await acquireLock(path.join(host.store.paths.locks, 'vm-test.reap'), { processes: host.processes });
    const reaping = reapOrphans(host, keptLog());
    await host.store.vms.update('vm-test', { expiresAt: Date.now() + HOUR_MS });
    await lock.release();
    expect(await reaping).toEqual([]);
    expect(await host.store.vms.names()).toEqual(['vm-test']);
    await cleanup(host, 'vm-test', { keepLogs: false, log: keptLog() });
  });

  it('shortens the console of a VM that was flooded', async () => {
    const host = await fakeHost();
    await prepare(host, request(host), context());
    const { console } = host.store.vms.paths('vm-test');
    await writeFile(console, Buffer.alloc(9 * 2 ** 20, 'x'));
    await reapOrphans(host, keptLog());
    expect((await stat(console)).size).toBe(0);
    await cleanup(host, 'vm-test', { keepLogs: false, log: keptLog() });
  });

  it('takes VMs whose owner is gone or whose time is over, and no others', async () => {
    const host = await fakeHost();
    await prepare(host, request(host, { name: 'vm-mine' }), context());
    await prepare(host, request(host, { name: 'vm-late' }), context());
    await prepare(host, request(host, { name: 'vm-lost' }), context());
    await prepare(host, request(host, { name: 'vm-kept', owner: undefined }), context());
    await host.store.vms.update('vm-late', { expiresAt: 1 });
    await host.store.vms.update('vm-lost', { owner: await endedProcess(host) });
    expect([...(await findOrphans(host))].sort((a, b) => (a.name < b.name ? -1 : 1))).toEqual([
      { name: 'vm-late', reason: 'time is over' },
      { name: 'vm-lost', reason: 'owner is gone' },
    ]);
    await Promise.all([collectGarbage(host, gcNow()), collectGarbage(host, gcNow())]);
    expect((await host.store.vms.names()).sort()).toEqual(['vm-kept', 'vm-mine']);
    await cleanup(host, 'vm-mine', { keepLogs: false, log: keptLog() });
    await cleanup(host, 'vm-kept', { keepLogs: false, log: keptLog() });
  });

  it('takes VMs with a damaged record, and old directories without one', async () => {
    const host = await fakeHost();
    const at = (name: string): string => path.join(host.store.paths.vms, name);
    for (const name of ['vm-bad', 'vm-half', 'vm-new']) await mkdir(at(name));
    await writeFile(path.join(at('vm-bad'), 'vm.json'), 'not json');
    await utimes(at('vm-half'), 1, 1);
    await collectGarbage(host, gcNow());
    expect(await host.store.vms.names()).toEqual(['vm-new']);
  });

  it('leaves a VM alone whose record a newer vm-runner wrote', async () => {
    const host = await fakeHost();
    const directory = path.join(host.store.paths.vms, 'vm-newer');
    await mkdir(directory);
    await writeFile(path.join(directory, 'vm.json'), JSON.stringify({ version: 2, name: 'vm-newer' }));
    await expect(host.store.vms.read('vm-newer')).rejects.toMatchObject({ code: 'store-newer', blame: 'infra' });
    await collectGarbage(host, gcNow());
    expect(await host.store.vms.names()).toEqual(['vm-newer']);
  });

  it('takes what a killed builder left, and nothing of a living one', async () => {
    const host = await fakeHost();
    const dead = await endedProcess(host);
    const { self } = host.processes;
    const name = (who: ProcessIdentity): string => [who.pid, who.startTime, who.bootId, 'x'].join('_');
    await mkdir(path.join(host.store.paths.temporary, name(dead)));
    await mkdir(path.join(host.store.paths.temporary, name(self)));
    const { garbage } = await collectGarbage(host, gcNow());
    expect(garbage.map((each) => path.basename(each.name))).toEqual([name(dead)]);
    expect(await readdir(host.store.paths.temporary)).toEqual([name(self)]);
  });

  it('tells in a dry run what would go, and takes nothing', async () => {
    const host = await fakeHost();
    await prepare(host, request(host), context());
    await host.store.vms.update('vm-test', { expiresAt: 1 });
    const dead = await endedProcess(host);
    await writeFile(path.join(host.store.paths.locks, 'stale'), JSON.stringify(dead));
    await writeFile(path.join(host.store.paths.locks, `stale.${dead.pid}-0123456789ab.tmp`), '');
    const would = await collectGarbage(host, { ...gcNow(), dryRun: true });
    expect(would).toMatchObject({
      failures: [],
      garbage: [
        { kind: 'vm', name: 'vm-test', reason: 'time is over' },
        { kind: 'half-made', reason: 'its maker is gone' },
        { kind: 'lock', name: 'stale', reason: 'its holder is gone' },
      ],
    });
    expect(await host.store.vms.names()).toEqual(['vm-test']);
    const { garbage } = await collectGarbage(host, gcNow());
    expect(garbage.map(({ kind, name }) => ({ kind, name }))).toEqual(
      would.garbage.map(({ kind, name }) => ({ kind, name })),
    );
    expect(await host.store.vms.names()).toEqual([]);
    expect(await readdir(host.store.paths.locks)).toEqual([]);
  });

  it('goes on when one thing cannot be looked at, and says so', async () => {
    const host = await fakeHost();
    await prepare(host, request(host), context());
    await host.store.vms.update('vm-test', { expiresAt: 1 });
    await writeFile(path.join(host.store.paths.refs, 'x.json'), 'not json');
    const { garbage, failures } = await collectGarbage(host, gcNow());
    expect(garbage).toMatchObject([{ kind: 'vm', name: 'vm-test' }]);
    expect(failures.map(({ code }) => code)).toEqual(['store-damaged']);
  });
});
