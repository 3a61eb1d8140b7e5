import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { describe, expect, it, onTestFinished } from 'vitest';

import { LinuxProcessTable } from '../../src/process/table.js';
import { errorsIn, faultyHost, isOurs, JOB, type FaultyHost } from '../support/faults/faulty-host.js';
import { leftovers, processesOf } from '../support/faults/leftovers.js';
import { runProgram, startProgram, type ProgramResult, type RunningProgram } from '../support/faults/program.js';

const FAKE = ['run', '-q', '--provider', 'fake'];

/** A job that has said "ready" and does not end by itself. */
async function runningJob({ directory }: FaultyHost, name = 'vm-job'): Promise<RunningProgram> {
  const job = startProgram([...FAKE, '--name', name, '--', 'sh', '-c', 'echo ready; sleep 300'], { directory });
  await job.said('ready\n');
  return job;
}

/** A VM that stays, as `--keep` leaves it. */
async function keptVm(host: FaultyHost, name = 'vm-kept'): Promise<string> {
  const { exitCode, stderr } = await host.run([...FAKE, '--keep', '--name', name, '--', 'true']);
  expect({ exitCode }, stderr).toEqual({ exitCode: 0 });
  return path.join(host.home, 'vms', name, 'vm.json');
}

async function edit(record: string, change: (fields: Record<string, unknown>) => object): Promise<void> {
  const fields = JSON.parse(await readFile(record, 'utf8')) as Record<string, unknown>;
  await writeFile(record, JSON.stringify(change(fields)));
}

async function stranger(): Promise<{ pid: number; isAlive: () => boolean }> {
  const child = spawn('sleep', ['300'], { stdio: 'ignore' });
  await once(child, 'spawn');
  onTestFinished(() => void child.kill('SIGKILL'));
  return { pid: child.pid ?? 0, isAlive: () => child.exitCode === null && child.signalCode === null };
}

describe('the end of a process', () => {
  it('of the program while its job runs makes an orphan, which the next job removes', async () => {
    const host = await faultyHost();
    const job = await runningJob(host);
    job.child.kill('SIGKILL');
    expect(await job.result).toMatchObject({ killed: true });
    expect(processesOf(host.home)).toHaveLength(1);
    await host.expectNextJob();
    expect(leftovers(host.home)).toEqual([]);
  });

  it('that runs the VM is one error, and blames the host', async () => {
    const host = await faultyHost();
    const job = await runningJob(host);
    const { vmm } = JSON.parse(await readFile(path.join(host.home, 'vms/vm-job/vm.json'), 'utf8')) as {
      vmm: { pid: number };
    };
    process.kill(vmm.pid, 'SIGKILL');
    const { exitCode, stderr } = await job.result;
    expect({ exitCode, errors: errorsIn(stderr) }, stderr).toEqual({ exitCode: 125, errors: ['vm-died'] });
    expect(leftovers(host.home)).toEqual([]);
    await host.expectNextJob();
  });

  it.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ] as const)('asked for by %s is its exit code, and leaves nothing', async (signal, exitCode) => {
    const host = await faultyHost();
    const job = await runningJob(host);
    job.child.kill(signal);
    expect(await job.result).toMatchObject({ exitCode });
    expect(leftovers(host.home)).toEqual([]);
    await host.expectNextJob();
  });

  it('that holds a lock does not keep the next one from it', async () => {
    const host = await faultyHost();
    await host.run(JOB, { act: 'kill', match: /^readFile home\/vms\/vm-job\/vm.json/ });
    expect(await readdir(path.join(host.home, 'locks'))).toContain('vm-job.record');
    await host.expectNextJob();
    await host.expectNoLeak();
  });
});

describe('several at once', () => {
  it('clean up the same VM, and both succeed', async () => {
    const host = await faultyHost();
    await keptVm(host);
    const results = await Promise.all([host.run(['rm', 'vm-kept']), host.run(['rm', 'vm-kept'])]);
    for (const { exitCode, stderr } of results) {
      // The slower one may find that there is no such VM any more.
      if (exitCode !== 0) expect(errorsIn(stderr), stderr).toEqual(['no-such-vm']);
    }
    expect(results.some(({ exitCode }) => exitCode === 0)).toBe(true);
    await host.expectNoLeak();
  });

  it('collect garbage while jobs are prepared, and take nothing of them', { timeout: 120_000 }, async () => {
    const host = await faultyHost();
    let done = false;
    const collecting = Array.from({ length: 2 }, async () => {
      while (!done) {
        const { exitCode, stderr } = await host.run(['gc']);
        expect({ exitCode }, stderr).toEqual({ exitCode: 0 });
      }
    });
    const jobs = Array.from({ length: 12 }, (_, index) => index);
    const worker = async (): Promise<void> => {
      for (let index = jobs.pop(); index !== undefined; index = jobs.pop()) {
        const { exitCode, stderr } = await host.run([...FAKE, '--', 'sh', '-c', `exit ${index}`]);
        expect({ exitCode }, stderr).toEqual({ exitCode: index });
      }
    };
    await Promise.all([worker(), worker()]).finally(() => (done = true));
    await Promise.all(collecting);
    await host.expectNoLeak();
  });

  it('take the same name, and one of them is told', async () => {
    const host = await faultyHost();
    const results = await Promise.all([host.run(JOB), host.run(JOB), host.run(JOB)]);
    for (const { exitCode, stderr } of results) {
      if (exitCode !== 3)
        expect({ exitCode, errors: errorsIn(stderr) }, stderr).toEqual({ exitCode: 125, errors: ['invalid-input'] });
    }
    expect(results.some(({ exitCode }) => exitCode === 3)).toBe(true);
    await host.expectNoLeak();
  });
});

describe('a record', () => {
  const DAMAGE: readonly (readonly [string, (text: string) => string])[] = [
    ['is empty', () => ''],
    ['is truncated', (text) => text.slice(0, text.length / 2)],
    ['has a flipped bit in its syntax', (text) => text.replace('{', '[')],
    ['has a flipped bit in a name', (text) => text.replace('"provider"', '"qrovider"')],
    ['has other bytes', () => '\0\xff'.repeat(200)],
    ['names a process that cannot be', (text) => text.replace(/"pid": \d+/, '"pid": -1')],
  ];

  it.each(DAMAGE)('that %s is told, and gc removes its VM', async (_what, damage) => {
    const host = await faultyHost();
    const record = await keptVm(host);
    await writeFile(record, damage(await readFile(record, 'utf8')));
    const { exitCode, stderr } = await host.run(['exec', 'vm-kept', '--', 'true']);
    expect({ exitCode, errors: errorsIn(stderr) }, stderr).toEqual({ exitCode: 125, errors: ['store-damaged'] });
    await host.expectNoLeak();
    await host.expectNextJob();
  });

  it('of a newer vm-runner is left alone with its VM, and says that it is newer', async () => {
    const host = await faultyHost();
    const record = await keptVm(host);
    await edit(record, (fields) => ({ ...fields, version: 2 }));
    const { exitCode, stderr } = await host.run(['exec', 'vm-kept', '--', 'true']);
    expect({ exitCode, errors: errorsIn(stderr) }, stderr).toEqual({ exitCode: 125, errors: ['store-newer'] });
    await host.run(['gc']);
    await host.expectNextJob();
    expect(processesOf(host.home)).toHaveLength(1);
    await edit(record, (fields) => ({ ...fields, version: 1 }));
    await host.expectNoLeak();
  });

  it('that names a process that has another start time gets nobody signalled', async () => {
    const host = await faultyHost();
    const record = await keptVm(host);
    const { pid, isAlive } = await stranger();
    const own = new LinuxProcessTable().identify(pid);
    const real = JSON.parse(await readFile(record, 'utf8')) as { vmm: { pid: number } };
    await edit(record, (fields) => ({ ...fields, vmm: { ...own, startTime: '1' } }));
    const { exitCode, stderr } = await host.run(['exec', 'vm-kept', '--', 'true']);
    expect({ exitCode, errors: errorsIn(stderr) }, stderr).toEqual({ exitCode: 125, errors: ['vm-died'] });
    expect(await host.run(['rm', 'vm-kept'])).toMatchObject({ exitCode: 0 });
    expect(isAlive()).toBe(true);
    process.kill(real.vmm.pid, 'SIGKILL');
    await host.expectNoLeak();
  });

  it('that names a process of before the last start of the host gets nobody signalled', async () => {
    const host = await faultyHost();
    const record = await keptVm(host);
    const { pid, isAlive } = await stranger();
    const own = new LinuxProcessTable().identify(pid);
    const real = JSON.parse(await readFile(record, 'utf8')) as { vmm: { pid: number } };
    process.kill(real.vmm.pid, 'SIGKILL');
    await edit(record, (fields) => ({
      ...fields,
      vmm: { ...own, bootId: 'another' },
      owner: { ...own, bootId: 'another' },
    }));
    await host.expectNextJob();
    expect(isAlive()).toBe(true);
    expect(leftovers(host.home)).toEqual([]);
  });
});

describe('the store', () => {
  it('that is deleted under a running VM ends the job with one error, and the next job makes another', async () => {
    const host = await faultyHost();
    const job = await runningJob(host);
    const [line = ''] = processesOf(host.home);
    await rm(host.home, { recursive: true, force: true });
    job.child.kill('SIGINT');
    expect(await job.result).toMatchObject({ exitCode: 130 });
    await host.expectNextJob();
    await host.expectNoLeak(line);
  });

  it('that a newer vm-runner made is not touched, and one of an older one is brought up to date', async () => {
    const host = await faultyHost();
    await host.expectNextJob();
    await writeFile(path.join(host.home, 'version'), '99\n');
    const { exitCode, stderr } = await host.run(JOB);
    expect({ exitCode, errors: errorsIn(stderr) }, stderr).toEqual({ exitCode: 125, errors: ['store-newer'] });
    await writeFile(path.join(host.home, 'version'), '1\n');
    await host.expectNextJob();
  });

  it('that is a file is one error', async () => {
    const host = await faultyHost();
    await writeFile(host.home, '');
    const { exitCode, stderr } = await host.run(JOB);
    expect({ exitCode, errors: errorsIn(stderr) }, stderr).toEqual({ exitCode: 125, errors: ['host-file-failed'] });
    await rm(host.home);
    await host.expectNextJob();
  });

  it('that has foreign files in its rooms still works', async () => {
    const host = await faultyHost();
    await host.expectNextJob();
    for (const room of ['vms', 'locks', 'tmp', 'refs', 'images', 'layers', 'templates', 'blobs', 'logs']) {
      await writeFile(path.join(host.home, room, 'foreign'), 'x');
    }
    await host.expectNextJob();
    const { exitCode, stderr } = await host.run(['gc']);
    expect({ exitCode, errors: errorsIn(stderr) }, stderr).toEqual({ exitCode: 0, errors: [] });
    await host.expectNextJob();
  });
});

describe('a clock that is set', () => {
  it.each([
    ['a year back', -365],
    ['a month back', -30],
    ['a week ahead', 7],
    ['a year ahead', 365],
  ] as const)('%s at any moment of a job changes nothing for it', { timeout: 120_000 }, async (_how, days) => {
    const host = await faultyHost();
    for (const at of [1, 15, 25, 40]) {
      const { exitCode, stdout, stderr } = await host.run(JOB, { act: `clock:${days * 86_400_000}`, at });
      expect({ exitCode, stdout }, stderr).toEqual({ exitCode: 3, stdout: 'out\n' });
    }
    await host.expectNoLeak();
  });

  it('ahead does not let gc take a VM whose owner lives', async () => {
    const host = await faultyHost();
    const job = await runningJob(host);
    expect(await host.run(['gc'], { act: `clock:${365 * 86_400_000}` })).toMatchObject({ exitCode: 0 });
    expect(await readdir(path.join(host.home, 'vms'))).toEqual(['vm-job']);
    job.child.kill('SIGINT');
    expect(await job.result).toMatchObject({ exitCode: 130 });
    await host.expectNoLeak();
  });
});

describe('what a host lets a process have', () => {
  it('of descriptors is enough, or too few for Node itself, or one error', { timeout: 120_000 }, async () => {
    const host = await faultyHost();
    const run = (most: number): Promise<ProgramResult> =>
      runProgram(JOB, { directory: host.directory, under: ['prlimit', `--nofile=${most}`] });
    // The fewest that are enough, by halving.
    let [fewest, tooFew] = [64, 8];
    while (fewest - tooFew > 1) {
      const middle = Math.floor((fewest + tooFew) / 2);
      const { exitCode } = await run(middle);
      if (exitCode === 3) fewest = middle;
      else tooFew = middle;
    }
    expect(await run(fewest)).toMatchObject({ exitCode: 3, stdout: 'out\n', stderr: '' });
    const told: string[] = [];
    for (let most = fewest - 1; most > 8; most -= 1) {
      const { exitCode, stderr } = await run(most);
      await host.expectNoLeak(stderr);
      if (!isOurs(stderr)) break;
      expect({ most, exitCode, errors: errorsIn(stderr).length }, stderr).toEqual({ most, exitCode: 125, errors: 1 });
      told.push(...errorsIn(stderr));
    }
    expect(told.length).toBeGreaterThan(0);
    for (const code of told) expect(['vm-start-failed', 'host-file-failed']).toContain(code);
    await host.expectNextJob();
  });
});
