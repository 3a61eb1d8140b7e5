import { existsSync } from 'node:fs';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { describe, expect, inject, it, onTestFinished } from 'vitest';

import type { VmRecord } from '../../src/store/record.js';
import { startVmRunner, vmRunner, type CommandResult, type RunningCommand } from '../support/command-line.js';
import { homeWithImages, qemuProcesses } from '../support/e2e.js';
import { leftovers } from '../support/faults/leftovers.js';

// Real guests. What goes wrong with a pool in every other way: test/stages/pool.test.ts, test/faults/pool.test.ts.

const VM = ['--network', 'none', '--memory', '512M'];
const POOLED = expect.objectContaining({ state: 'pooled' }) as unknown;

async function hostWithPool(size: number, limits = '') {
  const { directory, home } = await homeWithImages(inject('sharedHome'));
  const config = path.join(directory, 'vm-runner.toml');
  await writeFile(config, limits);
  const options = { home, env: { VM_RUNNER_CONFIG: config } };
  const run = (...args: readonly string[]): Promise<CommandResult> => vmRunner(args, options);
  const startJob = (...program: readonly string[]): RunningCommand =>
    startVmRunner(['run', '-q', ...VM, '--', ...program], options);
  const vms = async (): Promise<VmRecord[]> => JSON.parse((await run('ps', '--json')).stdout) as VmRecord[];
  const pool = startVmRunner(['pool', '--size', String(size), ...VM], options);
  onTestFinished(() => {
    pool.child.kill('SIGKILL');
    // A test that failed leaves its VMs; their command lines name this store, which is the test's own.
    return vmRunner(['gc'], options).then(() => undefined);
  });
  const filled = (): Promise<void> =>
    expect
      .poll(async () => (await vms()).filter(({ state }) => state === 'pooled'), { timeout: 60_000 })
      .toHaveLength(size);
  const claimed = async (): Promise<string[]> => {
    const events = await readFile(path.join(home, 'events.jsonl'), 'utf8');
    return [...events.matchAll(/"action":"claimed","name":"([^"]+)"/g)].map(([, name = '']) => name);
  };
  await filled();
  return { home, directory, run, startJob, vms, pool, filled, claimed };
}

describe('a pool of real guests', () => {
  it('gives each job another one, launches others, and leaves nothing at SIGTERM', async () => {
    const { home, directory, run, vms, pool, filled, claimed, startJob } = await hostWithPool(2);
    const before = await vms();
    const report = path.join(directory, 'report.json');
    const script = 'hostname; cat /proc/sys/kernel/random/uuid; date +%s; exit 3';
    const reported = await run('run', ...VM, '--name', 'box', '--report', report, '--', 'sh', '-c', script);
    expect(reported.exitCode, reported.stderr).toBe(3);
    const [hostname, , seconds] = reported.stdout.split('\n');
    expect(hostname).toBe('box');
    expect(Math.abs(Number(seconds) - Date.now() / 1000)).toBeLessThan(10);
    const { timeline } = JSON.parse(await readFile(report, 'utf8')) as { timeline: { name: string }[] };
    expect(timeline.map(({ name }) => name)).toEqual([
      'image',
      'claim',
      'boot',
      'resume',
      'enter',
      'put',
      'run',
      'get',
      'cleanup',
    ]);
    await filled();

    const uuid = ['cat', '/proc/sys/kernel/random/uuid'];
    const both = await Promise.all([startJob(...uuid).result, startJob(...uuid).result]);
    expect(
      both.map(({ exitCode, stderr }) => ({ exitCode, stderr: stderr.replaceAll(/^.*acceleration.*\n/gm, '') })),
    ).toEqual(Array(2).fill({ exitCode: 0, stderr: '' }));
    expect(new Set([...both.map(({ stdout }) => stdout), reported.stdout.split('\n')[1]]).size).toBe(3);
    const taken = await claimed();
    expect(new Set(taken).size).toBe(3);
    expect(before.map(({ name }) => name)).toContain(taken[0]);

    await filled();
    const waiting = await vms();
    pool.child.kill('SIGTERM');
    const { exitCode, stderr } = await pool.result;
    expect(exitCode, stderr).toBe(143);
    expect(stderr).toContain('was taken');
    expect(qemuProcesses(home)).toEqual([]);
    expect(leftovers(home)).toEqual([]);
    expect(waiting.flatMap(({ cgroups = [] }) => cgroups).filter((cgroup) => existsSync(cgroup))).toEqual([]);
  });

  it('is the garbage of the next when it is killed, but for what a job has', async () => {
    const { home, run, vms, pool, startJob } = await hostWithPool(2);
    const job = startJob('sh', '-c', 'echo ready; sleep 300');
    await job.said('ready\n');
    pool.child.kill('SIGKILL');
    await pool.result;
    expect((await run('gc')).exitCode).toBe(0);
    const left = await vms();
    expect(left).toEqual([expect.objectContaining({ state: 'ready', frontEnd: 'cli' })]);
    expect(qemuProcesses(home)).toHaveLength(1);

    job.child.kill('SIGKILL');
    await job.result;
    expect((await run('gc')).exitCode).toBe(0);
    expect(qemuProcesses(home)).toEqual([]);
    expect(await readdir(path.join(home, 'vms'))).toEqual([]);
    expect(left.flatMap(({ cgroups = [] }) => cgroups).filter((cgroup) => existsSync(cgroup))).toEqual([]);
  });

  it('gives its room to a job that has none, and refuses people who want a guest', async () => {
    const { run, vms, filled } = await hostWithPool(2, '[capacity]\nvms = 2\n');
    const [first] = await vms();
    const asked = await run('exec', first?.name ?? '', '--', 'true');
    expect(asked).toMatchObject({ exitCode: 125, stderr: expect.stringContaining('VM waits in the pool') as string });
    // Another size: none that waits fits.
    const job = await run('run', '--network', 'none', '--memory', '640M', '--wait', '0', '--', 'true');
    expect(job.exitCode, job.stderr).toBe(0);
    expect(job.stderr).toContain('which waited for a job: needs one more VM, 2 of 2 are there');
    await filled();
    // What waits has no job that anybody could harm.
    expect((await run('rm', (await vms())[0]?.name ?? '')).exitCode).toBe(0);
    await filled();
    expect(await vms()).toEqual([POOLED, POOLED]);
  });
});
