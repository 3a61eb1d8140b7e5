import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

import { delay } from '../../src/core/deadline.js';
import type { DriverCall } from '../support/gitlab-simulator/driver-call.js';
import { startJob, type RunningJob } from '../support/gitlab-simulator/runner.js';
import { aJob, DEAF_AGENT, gitLabHost, installedCopy, isRunning } from './support.js';

function names(job: RunningJob): string[] {
  return job.calls.map((call) => call.name);
}

function callNamed(job: RunningJob, name: string): DriverCall {
  const call = job.calls.find((candidate) => candidate.name === name);
  if (call === undefined) throw new Error(`no call ${name} among ${names(job).join(', ')}`);
  return call;
}

describe('a job of GitLab Runner', () => {
  it('passes with every stage, and leaves nothing', async () => {
    const { settings, vms, attempts, host } = await gitLabHost();
    const script = ['echo "hello from $(pwd)"', 'echo "$GREETING"'];
    const variables = { GREETING: "it's a $test" };
    const job = startJob(
      aJob({ script, variables, afterScript: ['echo after'], cache: true, artifacts: true }),
      settings,
    );
    expect(await job.result, job.trace.text).toEqual({ state: 'success' });
    expect(names(job)).toEqual([
      'config',
      'prepare',
      'run prepare_script',
      'run get_sources',
      'run restore_cache',
      'run build_script',
      'run after_script',
      'run archive_cache',
      'run upload_artifacts_on_success',
      'run cleanup_file_variables',
      'cleanup',
    ]);
    expect(job.trace.text).toContain('Using Custom executor with driver vm-runner ');
    expect(job.trace.text).toMatch(/hello from \S+\/group\/project\n/);
    expect(job.trace.text).toContain("it's a $test\n");
    expect(job.trace.text).toContain('Missing gitlab-runner. Extracting cache is disabled.');
    expect(job.trace.text).toContain('Missing gitlab-runner. Uploading artifacts is disabled.');
    expect(await vms()).toEqual([]);
    expect(await attempts()).toEqual([]);
    // A job that passed leaves no logs behind either.
    expect(await readdir(host.store.paths.logs)).toEqual([]);
  });

  it('lets go of its pipes in every call, though the VM lives on', async () => {
    const { settings } = await gitLabHost();
    const job = startJob(aJob({ script: ['true'] }), settings);
    await job.result;
    for (const call of job.calls) expect(call.pipesHeldMs, call.name).toBeLessThan(1000);
    // Were they held by the VM, prepare would have ended when the VM did: never.
    expect(names(job)).toContain('run build_script');
  });

  it("fails with the script's own exit code, and runs what belongs to a failed job", async () => {
    const { settings, vms } = await gitLabHost();
    const job = startJob(aJob({ script: ['exit 42'], afterScript: ['echo after'], artifacts: true }), settings);
    expect(await job.result).toEqual({ state: 'failed', failureReason: 'script_failure', exitCode: 42 });
    expect(names(job)).toContain('run upload_artifacts_on_failure');
    expect(job.trace.text).toContain('Running after script...');
    expect(callNamed(job, 'run build_script').exitCode).toBe(1);
    expect(await vms()).toEqual([]);
  });

  it('reports 1 for a script that fails with 1 after a stage that failed with another code', async () => {
    const { settings } = await gitLabHost();
    const getSources = ['if [ -e ../tried ]; then exit 0; fi', 'touch ../tried', 'exit 77'];
    const job = startJob(aJob({ getSources, getSourcesAttempts: 2, script: ['exit 1'] }), settings);
    expect(await job.result).toEqual({ state: 'failed', failureReason: 'script_failure', exitCode: 1 });
    expect(names(job)).toContain('run clear_worktree');
  });

  it('reports 128+n for a script that a signal ended', async () => {
    const { settings } = await gitLabHost();
    // Both the subshell that the Runner wraps around the author's lines, and the shell of the script itself.
    const job = startJob(aJob({ script: ['kill -KILL $$ $BASHPID'] }), settings);
    expect(await job.result).toEqual({ state: 'failed', failureReason: 'script_failure', exitCode: 137 });
  });

  it('keeps standard output and standard error apart, and takes any bytes', async () => {
    const { settings } = await gitLabHost();
    const job = startJob(
      aJob({ script: ['echo to-out', 'echo to-err >&2', 'head -c 3000000 /dev/zero | tr "\\0" x'] }),
      settings,
    );
    await job.result;
    const { stdout, stderr } = callNamed(job, 'run build_script');
    expect(stderr).toBe('to-err\n');
    expect(stdout.split('\n')).toContain('to-out');
    expect(stdout).toContain('x'.repeat(3_000_000));
  });

  it('keeps the truth when the author of the job sets CI_JOB_ID and CI_JOB_IMAGE', async () => {
    const { settings, host } = await gitLabHost();
    const variables = { CI_JOB_ID: '999', CI_PROJECT_ID: '1', CI_JOB_IMAGE: 'evil/image', VM_RUNNER_VM: 'vm-somebody' };
    const job = startJob(aJob({ script: ['sleep 0.5', 'echo started', 'sleep 60'], variables }), settings);
    await job.trace.shows('started\n');
    const { records } = await host.store.vms.list();
    expect(records.map((record) => ({ job: record.job, image: record.image }))).toEqual([
      { job: 'job 4711 of project 42', image: 'default' },
    ]);
    expect(records[0]?.name).toMatch(/^vm-[0-9a-f]{10}$/);
    // The Runner is the owner: here this very process, since the shims exec.
    expect(records[0]?.owner?.pid).toBe(process.pid);
    job.cancel('canceled');
    await job.result;
  });

  it('runs two jobs at once in VMs of their own', async () => {
    const { settings, vms } = await gitLabHost();
    const jobs = [11, 12].map((code) =>
      startJob(
        aJob({ id: code, projectPath: `group/p${code}`, script: ['echo up', 'sleep 1', `exit ${code}`] }),
        settings,
      ),
    );
    await Promise.all(jobs.map((job) => job.trace.shows('up\n')));
    expect(await vms()).toHaveLength(2);
    expect(await Promise.all(jobs.map((job) => job.result))).toEqual([
      { state: 'failed', failureReason: 'script_failure', exitCode: 11 },
      { state: 'failed', failureReason: 'script_failure', exitCode: 12 },
    ]);
    expect(await vms()).toEqual([]);
  });
});

describe('a job that cannot start', () => {
  it('is tried three times when the guest does not come up', async () => {
    const { settings, vms, attempts } = await gitLabHost();
    const prepareArgs = ['--provider', 'fake', '--boot-timeout', '1ms'];
    const job = startJob(aJob({ script: ['true'] }), { ...settings, prepareArgs });
    expect(await job.result).toEqual({ state: 'failed', failureReason: 'runner_system_failure' });
    expect(names(job)).toEqual(Array.from({ length: 3 }, () => ['config', 'prepare', 'cleanup']).flat());
    expect(job.calls.filter((call) => call.name === 'prepare').map((call) => call.exitCode)).toEqual([2, 2, 2]);
    expect(job.trace.text).toContain('ERROR[boot-timeout]: agent in the guest did not answer within 1 ms of boot');
    expect(job.calls.filter((call) => call.name === 'cleanup').map((call) => call.exitCode)).toEqual([0, 0, 0]);
    expect(await vms()).toEqual([]);
    expect(await attempts()).toEqual([]);
  });

  it("is the operator's to mend when config.toml is wrong, with every mistake in the log", async () => {
    const { settings } = await gitLabHost();
    const prepareArgs = ['--provider', 'cloud', '--memory', 'many', '--gpus', '2'];
    const job = startJob(aJob({ script: ['true'] }), { ...settings, prepareArgs });
    expect(await job.result).toEqual({ state: 'failed', failureReason: 'runner_system_failure' });
    expect(job.trace.text).toContain('- unknown flag in prepare_args: --gpus.');
    expect(job.trace.text).toContain('- not a memory size: --memory many.');
  });

  it("is the author's to mend when it wants an image that is not there, and is tried once", async () => {
    const { settings, vms } = await gitLabHost();
    const job = startJob(aJob({ image: 'alpine:3', script: ['true'] }), settings);
    expect(await job.result).toEqual({ state: 'failed', failureReason: 'script_failure', exitCode: 1 });
    expect(names(job)).toEqual(['config', 'prepare', 'cleanup']);
    expect(job.trace.text).toContain(
      'ERROR[image-unavailable]: the provider "fake" makes no VM, and so boots no image: alpine:3.',
    );
    expect(await vms()).toEqual([]);
  });

  it('fails as the system when it is cancelled in prepare, and leaves nothing', async () => {
    const { settings, vms, directory } = await gitLabHost();
    const prepareExec = path.join(await installedCopy(path.join(directory, 'prefix'), DEAF_AGENT), 'prepare');
    const job = startJob(aJob({ script: ['true'] }), { ...settings, prepareExec });
    while ((await vms()).length === 0) await delay(20);
    await delay(300);
    job.cancel('canceled');
    expect(await job.result).toEqual({ state: 'failed', failureReason: 'job_canceled' });
    expect(names(job)).toEqual(['config', 'prepare', 'cleanup']);
    expect(callNamed(job, 'prepare').exitCode).toBe(2);
    expect(job.trace.text).toContain('\nended by the Runner with SIGTERM\n');
    expect(await vms()).toEqual([]);
  });

  it('shows what the agent said last when it never answers, and keeps that', async () => {
    const { settings, directory, home } = await gitLabHost();
    const prepareExec = path.join(await installedCopy(path.join(directory, 'prefix'), DEAF_AGENT), 'prepare');
    const prepareArgs = ['--provider', 'fake', '--boot-timeout', '500ms'];
    const job = startJob(aJob({ script: ['true'] }), { ...settings, prepareExec, prepareArgs });
    expect(await job.result).toEqual({ state: 'failed', failureReason: 'runner_system_failure' });
    expect(job.trace.text).toContain('  | deaf agent is up');
    const vm = callNamed(job, 'prepare').env['VM_RUNNER_VM'] ?? '';
    expect(await readFile(path.join(home, 'logs', vm, 'vmm.log'), 'utf8')).toContain('deaf agent is up');
  });
});

describe('a job that is cancelled', () => {
  /** A script with a child and a grandchild that ignores SIGTERM's usual way out, and tells their pids. */
  const script = ['(sleep 300 & echo "grandchild=$!"; wait) & echo "child=$!"', 'echo ready', 'wait'];

  function pidsIn(trace: string): number[] {
    return [...trace.matchAll(/^(?:grand)?child=(\d+)$/gm)].map((match) => Number(match[1]));
  }

  async function allGone(pids: readonly number[]): Promise<boolean> {
    const running = await Promise.all(pids.map(isRunning));
    return !running.includes(true);
  }

  it('gracefully ends the whole tree of the script, keeps the VM, and goes on with after_script', async () => {
    const { settings, vms, directory } = await gitLabHost();
    const afterScript = [`cat ${directory}/runner/*/response.json >/dev/null && echo "vm is there"`];
    const job = startJob(aJob({ script, afterScript, artifacts: true }), settings);
    await expect.poll(() => pidsIn(job.trace.text), { timeout: 20_000 }).toHaveLength(2);
    await job.trace.shows('ready\n');
    const [vm] = await vms();
    job.cancel('canceling');
    expect(await job.result).toEqual({ state: 'failed', failureReason: 'job_canceled' });
    const pids = pidsIn(job.trace.text);
    expect(pids).toHaveLength(2);
    expect(await allGone(pids)).toBe(true);
    expect(names(job).slice(names(job).indexOf('run build_script'))).toEqual([
      'run build_script',
      'run after_script',
      'run upload_artifacts_on_failure',
      'run cleanup_file_variables',
      'cleanup',
    ]);
    expect(callNamed(job, 'run build_script').exitCode).toBe(2);
    expect(job.trace.text).toContain('vm is there\n');
    expect(callNamed(job, 'cleanup').stdout).toContain(`VM ${vm} is gone`);
    expect(await vms()).toEqual([]);
  });

  it('has no process of the script left when the driver call has ended', async () => {
    const { settings } = await gitLabHost();
    const afterScript = [
      'for pid in $(cat ../pids); do if kill -0 $pid 2>/dev/null; then echo "alive $pid"; fi; done; echo checked',
    ];
    const stubborn = [
      'trap "" TERM',
      '(trap "" TERM; sleep 301 & echo $! > ../pids; wait) &',
      'sleep 0.3',
      'echo ready',
      'wait',
    ];
    const job = startJob(aJob({ script: stubborn, afterScript }), settings);
    await job.trace.shows('ready\n');
    job.cancel('canceling');
    await job.result;
    expect(job.trace.text).toContain('checked\n');
    expect(job.trace.text).not.toMatch(/^alive/m);
  });

  it('at once ends the tree and goes straight to cleanup', async () => {
    const { settings, vms } = await gitLabHost();
    const job = startJob(aJob({ script, afterScript: ['echo never'], artifacts: true }), settings);
    await expect.poll(() => pidsIn(job.trace.text), { timeout: 20_000 }).toHaveLength(2);
    await job.trace.shows('ready\n');
    job.cancel('canceled');
    expect(await job.result).toEqual({ state: 'failed', failureReason: 'job_canceled' });
    expect(names(job).slice(names(job).indexOf('run build_script'))).toEqual(['run build_script', 'cleanup']);
    expect(await allGone(pidsIn(job.trace.text))).toBe(true);
    expect(await vms()).toEqual([]);
  });

  it('by its own timeout ends the same way', async () => {
    const { settings, vms } = await gitLabHost();
    const job = startJob(aJob({ script: ['echo ready', 'sleep 300'], timeout: 6 }), settings);
    expect(await job.result).toEqual({ state: 'failed', failureReason: 'job_execution_timeout' });
    expect(names(job).at(-1)).toBe('cleanup');
    expect(await vms()).toEqual([]);
  });
});

describe('a job whose VM dies', () => {
  it('is a system failure that says so', async () => {
    const { settings, host, vms } = await gitLabHost();
    const job = startJob(aJob({ script: ['echo ready', 'sleep 300'] }), settings);
    await job.trace.shows('ready\n');
    const { records } = await host.store.vms.list();
    process.kill(records[0]?.vmm?.pid ?? 0, 'SIGKILL');
    expect(await job.result).toEqual({ state: 'failed', failureReason: 'runner_system_failure' });
    expect(job.trace.text).toContain('ERROR[vm-died]: VM ended by itself: vm-');
    expect(await vms()).toEqual([]);
  });
});
