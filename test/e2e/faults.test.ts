import { readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { describe, expect, inject, it } from 'vitest';

import { homeWithImages, qemuProcesses, WITHOUT_TEMPLATES } from '../support/e2e.js';
import { errorsIn, steps, SWEEP } from '../support/faults/faulty-host.js';
import { cgroupsOf, leftovers } from '../support/faults/leftovers.js';
import {
  runProgram,
  startProgram,
  type Fault,
  type ProgramResult,
  type RunningProgram,
} from '../support/faults/program.js';

const SMALL = ['--network', 'none', '--memory', '512M'];
const LATER: Fault = { act: `clock:${8 * 86_400_000}` };

/** A store with the default image, and jobs in real guests. */
async function guestHost(rooms?: string[]) {
  const { directory, home } = await homeWithImages(inject('sharedHome'), rooms);
  const run = (args: readonly string[], fault?: Fault, env: Record<string, string> = {}): Promise<ProgramResult> =>
    runProgram(args, { directory, fault, env });
  const job = (...args: readonly string[]): string[] => ['run', '-q', ...SMALL, '--name', 'vm-job', ...args];
  const start = (...program: readonly string[]): RunningProgram => startProgram(job('--', ...program), { directory });
  const expectNextJob = async (about = ''): Promise<void> => {
    const { exitCode, stdout, stderr } = await run(job('--', 'sh', '-c', 'echo out; exit 3'));
    expect({ exitCode, stdout }, `${about}\n${stderr}`).toEqual({ exitCode: 3, stdout: 'out\n' });
  };
  const expectNoLeak = async (about = ''): Promise<void> => {
    const { exitCode, stderr } = await run(['gc'], LATER);
    expect({ exitCode, errors: errorsIn(stderr) }, `${about}\n${stderr}`).toEqual({ exitCode: 0, errors: [] });
    expect(leftovers(home), about).toEqual([]);
  };
  /** Kills the QEMU that the record names, and no other. */
  const killQemu = async (): Promise<void> => {
    const { vmm } = JSON.parse(await readFile(path.join(home, 'vms/vm-job/vm.json'), 'utf8')) as {
      vmm: { pid: number };
    };
    process.kill(vmm.pid, 'SIGKILL');
  };
  return { directory, home, run, job, start, killQemu, expectNextJob, expectNoLeak };
}

describe('kill -9 of QEMU', () => {
  it('while a job runs is one error with the blame on the host', async () => {
    const host = await guestHost();
    const job = host.start('sh', '-c', 'echo ready; sleep 300');
    await job.said('ready\n');
    await host.killQemu();
    const { exitCode, stderr } = await job.result;
    expect({ exitCode, errors: errorsIn(stderr) }, stderr).toEqual({ exitCode: 125, errors: ['vm-died'] });
    expect(qemuProcesses(host.home)).toEqual([]);
    await host.expectNoLeak();
    await host.expectNextJob();
  });

  it('of a VM that stays is told to the next command, and gc takes what is left', async () => {
    const host = await guestHost();
    expect(await host.run(host.job('--keep', '--', 'true'))).toMatchObject({ exitCode: 0 });
    await host.killQemu();
    const { exitCode, stderr } = await host.run(['exec', 'vm-job', '--', 'true']);
    expect({ exitCode, errors: errorsIn(stderr) }, stderr).toEqual({ exitCode: 125, errors: ['vm-died'] });
    await host.expectNoLeak();
    await host.expectNextJob();
  });
});

describe('kill -9 of the program', () => {
  it('at steps of a clone leaves nothing', SWEEP, async () => {
    const host = await guestHost();
    const job = host.job('--', 'true');
    const { operations } = await runProgram(job, { directory: host.directory, listed: true });
    for (const at of steps(operations.length, 10)) {
      const about = `at ${at}: ${operations[at - 1] ?? ''}`;
      await host.run(job, { act: 'kill', at });
      await host.expectNoLeak(about);
    }
    await host.expectNextJob();
  });

  it('before a VM has its record leaves control groups, which gc takes', async () => {
    const host = await guestHost();
    expect(await host.run(host.job('--keep', '--', 'true'))).toMatchObject({ exitCode: 0 });
    const hasGroups = cgroupsOf(host.home).length;
    expect(await host.run(['rm', '-f', 'vm-job'])).toMatchObject({ exitCode: 0 });
    expect(cgroupsOf(host.home)).toEqual([]);
    const killed = await host.run(host.job('--', 'true'), { act: 'kill', match: /^mkdir home\/vms\/vm-job$/ });
    expect(killed).toMatchObject({ killed: true });
    expect(cgroupsOf(host.home)).toHaveLength(hasGroups);
    await host.expectNoLeak();
    await host.expectNextJob();
  });

  it('at steps of making a template leaves nothing of it', SWEEP, async () => {
    const host = await guestHost(WITHOUT_TEMPLATES);
    const job = host.job('--', 'true');
    const match = / home\/(tmp|templates|vms)\/|^spawn /;
    const { operations } = await runProgram(job, {
      directory: host.directory,
      listed: true,
      fault: { match, at: 0, act: 'kill' },
    });
    for (const at of steps(operations.length, 6)) {
      await rm(path.join(host.home, 'templates'), { recursive: true, force: true });
      await host.run(job, { act: 'kill', match, at });
      await host.expectNoLeak(`at ${at}: ${operations[at - 1] ?? ''}`);
    }
    await host.expectNextJob();
  });
});

describe('a template', () => {
  it('that cannot be written for want of room leaves the VM to boot', async () => {
    const host = await guestHost(WITHOUT_TEMPLATES);
    const { exitCode, stderr } = await host.run(host.job('--', 'true'), {
      act: 'ENOSPC',
      match: /home\/tmp\//,
      at: 'all',
    });
    expect({ exitCode, errors: errorsIn(stderr) }, stderr).toEqual({ exitCode: 0, errors: [] });
    await host.expectNoLeak();
    await host.expectNextJob();
  });

  it('that was truncated is not cloned from', async () => {
    const host = await guestHost();
    await host.expectNextJob();
    const { stdout } = await host.run(['templates', '--json']);
    const [key = ''] = [...(/"key": "([0-9a-f]{32})"/.exec(stdout)?.slice(1) ?? [])];
    const state = path.join(host.home, 'templates', key, 'state');
    const bytes = await readFile(state);
    // The shared store has the same file by a link.
    await rm(state);
    await writeFile(state, bytes);
    await truncate(state, Math.floor((await stat(state)).size / 2));
    await host.expectNextJob();
    await host.expectNoLeak();
  });

  it('of a QEMU that was upgraded since is not cloned from, and a new one is made', async () => {
    const host = await guestHost();
    const wrapper = path.join(host.directory, 'qemu-upgraded');
    const version = '[ "$1" = --version ] && { echo \'QEMU emulator version 7.2.99\'; exit; }';
    // It becomes QEMU, so that the process of the record is QEMU's.
    await writeFile(wrapper, `#!/bin/sh\n${version}\nexec /usr/bin/qemu-system-x86_64 "$@"\n`, { mode: 0o755 });
    await host.expectNextJob();
    const before = await readdir(path.join(host.home, 'templates'));
    const { exitCode, stderr } = await host.run(host.job('--', 'true'), undefined, { VM_RUNNER_QEMU: wrapper });
    expect({ exitCode, errors: errorsIn(stderr) }, stderr).toEqual({ exitCode: 0, errors: [] });
    expect(await readdir(path.join(host.home, 'templates'))).toHaveLength(before.length + 1);
    await host.expectNextJob();
    await host.expectNoLeak();
  });
});

describe('the store', () => {
  it('deleted under a running VM ends with one error or the exit code, and leaves no QEMU', async () => {
    const host = await guestHost();
    const job = host.start('sh', '-c', 'echo ready; sleep 300');
    await job.said('ready\n');
    await rm(path.join(host.home, 'vms/vm-job'), { recursive: true });
    job.child.kill('SIGINT');
    expect(await job.result).toMatchObject({ exitCode: 130 });
    expect(qemuProcesses(host.home)).toEqual([]);
    await host.expectNoLeak();
    await host.expectNextJob();
  });
});

describe('a job', () => {
  /** What it does in its guest, its exit code, and the errors that may be told. */
  const JOBS: readonly (readonly [string, string, number, readonly string[]])[] = [
    // The only one that needs its time to be over.
    ['that forks without end is ended with its time', 'f() { f | f & }; f; sleep 600', 124, ['timed-out']],
    ['that fills memory loses the program that did', 'tail -c 2G /dev/zero | tail > /dev/null', 137, []],
    ['that fills a disk is told by its own program', 'dd if=/dev/zero of=/dev/shm/f bs=1M || exit 7', 7, []],
    ['that closes its output goes on', 'exec >&- 2>&-; exit 5', 5, []],
    ['that kills process 1 of its root does not reach it', 'kill -9 1; sleep 1; exit 6', 6, []],
    ['that kills all that it sees ends itself alone', 'for p in /proc/[0-9]*; do kill -9 "${p#/proc/}"; done', 137, []],
    ['that panics its kernel ends its VM', 'echo c > /proc/sysrq-trigger; sleep 600', 125, ['guest-ended']],
    ['that powers off its machine ends its VM', 'echo o > /proc/sysrq-trigger; sleep 600', 125, ['guest-ended']],
    ['that resets its machine ends its VM', 'echo b > /proc/sysrq-trigger; sleep 600', 125, ['guest-ended']],
  ];

  it.each(JOBS)('%s', async (_what, script, wanted, errors) => {
    const host = await guestHost();
    const { exitCode, stderr } = await host.run(
      host.job('--timeout', wanted === 124 ? '10s' : '2m', '--', 'bash', '-c', script),
    );
    const told = errorsIn(stderr);
    expect({ exitCode, told }, stderr).toEqual({ exitCode: wanted, told: errors });
    expect(qemuProcesses(host.home)).toEqual([]);
    await host.expectNextJob();
    await host.expectNoLeak();
  });

  it('that fills its disk while no stage watches meets its limit, and its VM goes on', async () => {
    const host = await guestHost();
    const fill = 'head -c 300m /dev/urandom >/var/tmp/f; sync /var/tmp/f || echo full >/dev/shm/done';
    const job = host.job('--keep', '--disk', '64M', '--', 'sh', '-c', `(sleep 1; ${fill}) >/dev/null 2>&1 & exit 0`);
    expect(await host.run(job)).toMatchObject({ exitCode: 0 });
    const disk = path.join(host.home, 'vms/vm-job/disk.qcow2');
    // Nothing looks at it but this test, from outside.
    let before = -1;
    const isStill = async (): Promise<boolean> => {
      const { size } = await stat(disk);
      const still = size === before && size > 64 * 2 ** 20;
      before = size;
      return still;
    };
    await expect.poll(isStill, { timeout: 120_000, interval: 1000 }).toBe(true);
    expect(before).toBeLessThan(90 * 2 ** 20);
    // In less time than between two looks of its own stage.
    const asked = async (): Promise<string> =>
      (await host.run(['exec', 'vm-job', '--', 'cat', '/dev/shm/done'])).stdout;
    await expect.poll(asked, { timeout: 60_000 }).toBe('full\n');
    expect(await host.run(['rm', '-f', 'vm-job'])).toMatchObject({ exitCode: 0 });
    await host.expectNextJob();
    await host.expectNoLeak();
  });

  it('that floods its output meets a slow reader, who gets every byte', async () => {
    const host = await guestHost();
    const bytes = 24 * 2 ** 20;
    const job = startProgram(host.job('--', 'head', '-c', String(bytes), '/dev/zero'), { directory: host.directory });
    const { stdout } = job.child;
    if (stdout === null) throw new Error('no output');
    const pause = setInterval(() => {
      stdout.pause();
      setTimeout(() => stdout.resume(), 20);
    }, 60);
    const { exitCode, stdout: text, stderr } = await job.result.finally(() => clearInterval(pause));
    expect({ exitCode, bytes: text.length }, stderr).toEqual({ exitCode: 0, bytes });
    await host.expectNoLeak();
  });

  it('that never reads a large input ends when it wants to', async () => {
    const host = await guestHost();
    const args = host.job('--interactive', '--', 'sh', '-c', 'sleep 1; exit 4');
    const { exitCode, stderr } = await runProgram(args, {
      directory: host.directory,
      input: Buffer.alloc(64 * 2 ** 20),
    });
    expect({ exitCode, errors: errorsIn(stderr) }, stderr).toEqual({ exitCode: 4, errors: [] });
    await host.expectNoLeak();
  });
});
