import { readFile } from 'node:fs/promises';
import path from 'node:path';

import { expect } from 'vitest';

import { startVmRunner, type CommandResult, type RunningCommand } from '../command-line.js';
import { startJob, type RunningJob } from '../gitlab-simulator/runner.js';
import type { JobResult, RunnerSettings } from '../gitlab-simulator/job.js';
import { errorsIn } from '../faults/faulty-host.js';

export interface SoakHost {
  readonly home: string;
  readonly settings: RunnerSettings;
  /** Images that jobs of the command line run in; `default` among them. */
  readonly images: readonly string[];
}

export interface SoakJob {
  /** Counts from 1. */
  readonly index: number;
  /** A number of the job's own, for exit codes and the choice of an image. */
  readonly draw: number;
}

/** A way for a job to end: makes one, and expects its result. */
type End = (host: SoakHost, job: SoakJob) => Promise<void>;

const FOR_EVER = 'echo ready; sleep 600';

function command(host: SoakHost, { index, draw }: SoakJob, script: string, ...flags: string[]): RunningCommand {
  const image = host.images[draw % host.images.length] ?? 'default';
  const about = ['--network', 'none', '--memory', '512M', '--name', `soak-${index}`, '--image', image, ...flags];
  return startVmRunner(['run', '-q', ...about, '--', 'sh', '-c', script], { home: host.home });
}

function expectEnd({ exitCode, stderr }: CommandResult, wanted: number | null, errors: readonly string[]): void {
  expect(exitCode, stderr).toBe(wanted);
  expect(errorsIn(stderr), stderr).toEqual(errors);
}

/** Ends the process that the record names, and no other. */
async function killQemu({ home }: SoakHost, name: string): Promise<void> {
  const record = JSON.parse(await readFile(path.join(home, 'vms', name, 'vm.json'), 'utf8')) as {
    vmm: { pid: number };
  };
  process.kill(record.vmm.pid, 'SIGKILL');
}

function gitLabJob({ settings }: SoakHost, { index }: SoakJob, script: string): RunningJob {
  return startJob({ id: index, projectId: 1, projectPath: 'group/project', script: [script] }, settings);
}

async function ready(job: RunningJob): Promise<void> {
  const early = job.result.then((result) => Promise.reject(new Error(`${JSON.stringify(result)}\n${job.trace.text}`)));
  await Promise.race([job.trace.shows('ready\n', 240_000), early]);
}

async function expectResult(job: RunningJob, wanted: JobResult): Promise<void> {
  expect(await job.result, job.trace.text).toEqual(wanted);
}

/** Every way for a job to end, with how often it is drawn. */
export const ENDS: Readonly<Record<string, readonly [weight: number, end: End]>> = {
  ok: [6, async (host, job) => expectEnd(await command(host, job, 'true').result, 0, [])],
  'exit code': [
    5,
    async (host, job) =>
      expectEnd(await command(host, job, `exit ${1 + (job.draw % 120)}`).result, 1 + (job.draw % 120), []),
  ],
  signal: [3, async (host, job) => expectEnd(await command(host, job, 'kill -9 $$').result, 137, [])],
  timeout: [
    3,
    async (host, job) => expectEnd(await command(host, job, 'sleep 600', '--timeout', '2s').result, 124, ['timed-out']),
  ],
  'Ctrl-C': [
    3,
    async (host, job) => {
      const running = command(host, job, FOR_EVER);
      await running.said('ready\n');
      running.child.kill('SIGINT');
      expectEnd(await running.result, 130, ['cancelled']);
    },
  ],
  'kill -9 of the program': [
    3,
    async (host, job) => {
      const running = command(host, job, FOR_EVER);
      await running.said('ready\n');
      running.child.kill('SIGKILL');
      expectEnd(await running.result, null, []);
    },
  ],
  'kill -9 of QEMU': [
    3,
    async (host, job) => {
      const running = command(host, job, FOR_EVER);
      await running.said('ready\n');
      await killQemu(host, `soak-${job.index}`);
      expectEnd(await running.result, 125, ['vm-died']);
    },
  ],
  'guest panic': [
    3,
    async (host, job) => {
      const panic = 'echo c > /proc/sysrq-trigger; sleep 600';
      const { result } = command({ ...host, images: ['default'] }, job, panic);
      expectEnd(await result, 125, ['guest-ended']);
    },
  ],
  'GitLab: ok': [3, (host, job) => expectResult(gitLabJob(host, job, 'true'), { state: 'success' })],
  'GitLab: exit code': [
    3,
    (host, job) => {
      const exitCode = 1 + (job.draw % 120);
      const wanted = { state: 'failed', failureReason: 'script_failure', exitCode } as const;
      return expectResult(gitLabJob(host, job, `exit ${exitCode}`), wanted);
    },
  ],
  'GitLab: cancelled': [
    2,
    async (host, job) => {
      const running = gitLabJob(host, job, FOR_EVER);
      await ready(running);
      running.cancel('canceling');
      await expectResult(running, { state: 'failed', failureReason: 'job_canceled' });
    },
  ],
  'GitLab: kill -9 of QEMU': [
    2,
    async (host, job) => {
      const running = gitLabJob(host, job, FOR_EVER);
      await ready(running);
      await killQemu(host, /Running on (vm-[0-9a-f]+) /.exec(running.trace.text)?.[1] ?? '');
      await expectResult(running, { state: 'failed', failureReason: 'runner_system_failure' });
    },
  ],
};

/** A sequence that is the same for the same seed. */
export function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let value = Math.imul(state ^ (state >>> 15), 1 | state);
    value = (value + Math.imul(value ^ (value >>> 7), 61 | value)) ^ value;
    return (value ^ (value >>> 14)) >>> 0;
  };
}

/** Names of ends, each at least once when there is room, the rest drawn by weight; shuffled. */
export function mix(jobs: number, draw: () => number): string[] {
  const bag = Object.entries(ENDS).flatMap(([name, [weight]]) => Array.from({ length: weight }, () => name));
  const names = Object.keys(ENDS).slice(0, jobs);
  while (names.length < jobs) names.push(bag[draw() % bag.length] ?? 'ok');
  for (let index = names.length - 1; index > 0; index -= 1) {
    const other = draw() % (index + 1);
    [names[index], names[other]] = [names[other] ?? 'ok', names[index] ?? 'ok'];
  }
  return names;
}
