import { readFile, writeFile } from 'node:fs/promises';

import { describe, expect, it } from 'vitest';

import { Timeline } from '../../src/core/log.js';
import { openHost } from '../../src/providers/host.js';
import { withAgent } from '../../src/stages/attach.js';
import { cleanup } from '../../src/stages/cleanup.js';
import { prepare } from '../../src/stages/prepare.js';
import { findOrphans, reapOrphans } from '../../src/stages/reap.js';
import { run } from '../../src/stages/run.js';
import { AGENTS, fakeHost, keptLog } from '../support/fake-host.js';

const ignore = { onStdout: () => undefined, onStderr: () => undefined };

async function hostWithVm() {
  const host = await fakeHost();
  const request = {
    vm: { image: 'default', cpus: undefined, memoryMiB: 512, network: 'none' as const },
    name: 'vm-old',
    owner: host.processes.self,
    expiresAt: Date.now() + 3_600_000,
    bootTimeoutMs: 20_000,
    frontEnd: 'cli',
    job: undefined,
  };
  const signal = AbortSignal.timeout(50_000);
  await prepare(host, request, { log: keptLog(), timeline: new Timeline(), signal });
  return { host, signal };
}

describe('a VM that runs while vm-runner is upgraded', () => {
  it('goes on, answers the newer program, and is ended by it', async () => {
    const { host: older, signal } = await hostWithVm();
    await writeFile(older.store.paths.version, '1\n');
    // As the older program wrote it.
    const { record: file } = older.store.vms.paths('vm-old');
    const fields = JSON.parse(await readFile(file, 'utf8')) as Record<string, unknown>;
    await writeFile(file, JSON.stringify({ ...fields, diskMiB: undefined }));

    const newer = await openHost({ home: older.store.paths.home, provider: 'fake', agentDirectory: AGENTS });
    expect(await reapOrphans(newer, keptLog())).toEqual([]);
    const record = await newer.store.vms.read('vm-old');
    if (record === undefined) throw new Error('the VM is gone');
    const program = { kind: 'argv' as const, argv: ['sh', '-c', 'exit 5'] };
    const status = await withAgent(newer, record, { log: keptLog(), signal }, (agent, either) =>
      run(agent, { ...ignore, program, signal: either }),
    );
    expect(status.code).toBe(5);
    await cleanup(newer, 'vm-old', { keepLogs: false, log: keptLog() });
    expect(await newer.store.vms.names()).toEqual([]);
    expect(record.vmm !== undefined && newer.processes.isAlive(record.vmm)).toBe(false);
  });
});

describe('a VM of a newer program', () => {
  it('is left alone, also when its time is over, and still takes room', async () => {
    const { host } = await hostWithVm();
    const { record: file } = host.store.vms.paths('vm-old');
    const text = await readFile(file, 'utf8');
    const vmm = (await host.store.vms.read('vm-old'))?.vmm;
    await writeFile(
      file,
      JSON.stringify({ ...JSON.parse(text), version: 2, expiresAt: 0, endpoint: 'of another kind' }),
    );
    expect(await findOrphans(host)).toEqual([]);
    expect(await reapOrphans(host, keptLog())).toEqual([]);
    const { records, damaged } = await host.store.vms.list();
    expect(records).toEqual([]);
    expect(damaged.map(({ error }) => error.message)).toEqual([
      `record of a VM was written by a newer vm-runner: ${file}. Look at that VM with the newer one, or remove it there.`,
    ]);
    await expect(cleanup(host, 'vm-old', { keepLogs: false, log: keptLog() })).rejects.toMatchObject({
      code: 'store-newer',
    });
    expect(vmm !== undefined && host.processes.isAlive(vmm)).toBe(true);
    expect((await host.capacity.snapshot()).held).toMatchObject({ vms: 1, memoryMiB: 512 });
    await writeFile(file, text);
    await cleanup(host, 'vm-old', { keepLogs: false, log: keptLog() });
  });
});
