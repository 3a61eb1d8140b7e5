import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { describe, expect, it, onTestFinished } from 'vitest';

import { Coordinator, type FinalUpdate } from '../support/gitlab-coordinator.js';
import { gitLabHost, type GitLabHost } from './support.js';

/** Path of a real gitlab-runner. No registry of packages has it, so the tests do not install it. */
const BINARY = process.env['GITLAB_RUNNER'];
const REASON = 'GITLAB_RUNNER names no binary of gitlab-runner';
/** Where the trace and the final PUT of each case go, for people to read. */
const KEEP = process.env['GITLAB_RUNNER_LOGS'];

interface Case {
  readonly host: GitLabHost;
  readonly coordinator: Coordinator;
  readonly finished: Promise<FinalUpdate>;
  readonly runnerPid: number | undefined;
}

async function runCase(title: string, script: readonly string[], afterScript: readonly string[] = []): Promise<Case> {
  const host = await gitLabHost();
  const coordinator = await Coordinator.start(jobOf(script, afterScript));
  onTestFinished(() => coordinator[Symbol.asyncDispose]());
  const { settings } = host;
  const custom = {
    'config-exec': settings.configExec,
    'prepare-exec': settings.prepareExec,
    'run-exec': settings.runExec,
    'cleanup-exec': settings.cleanupExec,
    'graceful-kill-timeout': '30',
  };
  const args = [
    ...['run-single', '-u', coordinator.url, '-t', 'glrt-x', '--executor', 'custom', '--shell', 'bash'],
    ...['--builds-dir', path.join(host.directory, 'builds'), '--cache-dir', path.join(host.directory, 'cache')],
    ...Object.entries(custom).flatMap(([name, value]) => [`--custom-${name}`, value]),
    ...(settings.configArgs ?? []).flatMap((value) => ['--custom-config-args', value]),
    ...(settings.prepareArgs ?? []).flatMap((value) => ['--custom-prepare-args', value]),
    ...['--max-builds', '1', '--wait-timeout', '20'],
  ];
  const env = { ...settings.env, TMPDIR: settings.directory };
  const runner = spawn(BINARY ?? '', args, { cwd: host.directory, env, stdio: ['ignore', 'pipe', 'pipe'] });
  let log = '';
  for (const stream of [runner.stdout, runner.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => (log += text));
  }
  // It exits with 0 whatever became of the job: the final PUT tells.
  const ended = once(runner, 'close');
  onTestFinished(async () => {
    runner.kill('SIGKILL');
    await ended;
  });
  const finished = ended.then(async () => {
    const update = await Promise.race([
      coordinator.final,
      Promise.reject(new Error(`no final PUT; the Runner said:\n${log}`)),
    ]);
    keep(title, coordinator, update, log);
    return update;
  });
  return { host, coordinator, finished, runnerPid: runner.pid };
}

function jobOf(script: readonly string[], afterScript: readonly string[]): object {
  const steps = [{ name: 'script', script, timeout: 600, when: 'on_success', allow_failure: false }];
  return {
    id: 4711,
    token: 'job-token',
    allow_git_fetch: true,
    job_info: { id: 4711, name: 'test', stage: 'test', project_id: 42, project_name: 'project' },
    git_info: {
      repo_url: 'http://127.0.0.1:1/group/project.git',
      ref: 'main',
      sha: '0'.repeat(40),
      ref_type: 'branch',
    },
    runner_info: { timeout: 600 },
    variables: [
      { key: 'GIT_STRATEGY', value: 'none', public: true },
      { key: 'CI_PROJECT_ID', value: '42', public: true },
      { key: 'CI_PROJECT_PATH', value: 'group/project', public: true },
      // What an author could try.
      { key: 'CI_JOB_ID', value: '999', public: true },
      { key: 'CI_JOB_IMAGE', value: 'evil/image', public: true },
    ],
    steps: [
      ...steps,
      ...(afterScript.length === 0
        ? []
        : [{ name: 'after_script', script: afterScript, timeout: 300, when: 'always', allow_failure: true }]),
    ],
    artifacts: [{ name: 'home', paths: ['*.txt'], when: 'always', artifact_type: 'archive', artifact_format: 'zip' }],
    features: { trace_sections: true, failure_reasons: ['script_failure', 'runner_system_failure', 'job_canceled'] },
  };
}

function keep(title: string, coordinator: Coordinator, update: FinalUpdate, log: string): void {
  if (KEEP === undefined) return;
  mkdirSync(KEEP, { recursive: true });
  const text = [
    `# trace\n${coordinator.trace.text}`,
    `# final PUT\n${JSON.stringify(update, undefined, 2)}`,
    `# Runner\n${log}`,
  ];
  writeFileSync(path.join(KEEP, `${title}.log`), text.join('\n'));
}

const isThere = BINARY !== undefined && existsSync(BINARY);

describe.skipIf(!isThere)(`the real gitlab-runner${isThere ? '' : ` (skipped: ${REASON})`}`, () => {
  it('reports a job that passes', async () => {
    const { coordinator, finished, host } = await runCase('passing', [
      'echo "hello from $(pwd)"',
      'echo done > out.txt',
    ]);
    expect(await finished).toMatchObject({ state: 'success' });
    expect(coordinator.trace.text).toContain('Using Custom executor with driver vm-runner ');
    expect(coordinator.trace.text).toMatch(/hello from \S+\/group\/project/);
    expect(coordinator.trace.text).toContain('Missing gitlab-runner. Uploading artifacts is disabled.');
    expect(await host.vms()).toEqual([]);
    expect(await host.attempts()).toEqual([]);
  });

  it('reports a script that fails with 42', async () => {
    const { coordinator, finished, host } = await runCase('exit-42', ['exit 42'], ['echo after']);
    const update = await finished;
    expect(update).toMatchObject({ state: 'failed', failure_reason: 'script_failure' });
    // Runners older than 17.9 do not ask for the script's own code.
    expect([1, 42]).toContain(update.exit_code);
    expect(coordinator.trace.text).toContain('Running after script...');
    expect(await host.vms()).toEqual([]);
  });

  it('reports a job that is cancelled, and leaves no VM', async () => {
    const script = ['for i in $(seq 300); do echo "tick $i"; sleep 1; done'];
    const { coordinator, finished, host, runnerPid } = await runCase('cancelled', script, ['echo after']);
    await coordinator.trace.shows('tick 1');
    expect(await host.vms()).toHaveLength(1);
    const { records } = await host.host.store.vms.list();
    // Its own id, not the one that the author made up; and owned by the Runner, since the shims exec.
    expect(records[0]?.job).toBe('job 4711 of project 42');
    expect(records[0]?.owner?.pid).toBe(runnerPid);
    coordinator.cancel('canceling');
    expect(await finished).toMatchObject({ state: 'failed' });
    expect(coordinator.trace.text).not.toContain('tick 100');
    expect(await host.vms()).toEqual([]);
    expect(await host.attempts()).toEqual([]);
  });
});
