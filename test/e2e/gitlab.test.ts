import { mkdir, readdir } from 'node:fs/promises';
import path from 'node:path';

import { expect, inject, it } from 'vitest';

import { shim } from '../gitlab/support.js';
import { homeWithImages, qemuProcesses } from '../support/e2e.js';
import { startJob } from '../support/gitlab-simulator/runner.js';

it('runs the stages of a GitLab job in a real guest, lets go of its pipes, and leaves nothing', async () => {
  const { directory, home } = await homeWithImages(inject('sharedHome'));
  const runnerDirectory = path.join(directory, 'runner');
  await mkdir(runnerDirectory);
  const settings = {
    directory: runnerDirectory,
    env: { PATH: process.env['PATH'] ?? '', HOME: directory, VM_RUNNER_HOME: home },
    configExec: shim('config'),
    prepareExec: shim('prepare'),
    prepareArgs: ['--network', 'none', '--memory', '512M'],
    runExec: shim('run'),
    cleanupExec: shim('cleanup'),
    gracefulKillTimeoutMs: 60_000,
  };
  const script = [
    'echo "in $(pwd) on $(hostname) as $(id -un)"',
    'git --version',
    'touch kept',
    'echo ready',
    'sleep 300',
  ];
  const job = startJob(
    {
      id: 7,
      projectId: 3,
      projectPath: 'group/project',
      script,
      afterScript: ['ls', 'cat /proc/[0-9]*/comm | grep -x sleep || echo "no sleep"'],
    },
    settings,
  );
  await Promise.race([
    job.trace.shows('ready\n', 280_000),
    job.result.then((result) => Promise.reject(new Error(JSON.stringify(result) + job.trace.text))),
  ]);
  expect(qemuProcesses(home)).toHaveLength(1);
  job.cancel('canceling');
  expect(await job.result).toEqual({ state: 'failed', failureReason: 'job_canceled' });

  expect(job.trace.text).toMatch(/^Running on (vm-[0-9a-f]{10}) via /m);
  expect(job.trace.text).toMatch(/^in \/builds\/group\/project on vm-[0-9a-f]{10} as root$/m);
  expect(job.trace.text).toMatch(/^git version /m);
  expect(job.trace.text).toMatch(/^kept$/m);
  expect(job.trace.text).toMatch(/^no sleep$/m);
  for (const call of job.calls) expect(call.pipesHeldMs, call.name).toBeLessThan(2000);
  expect(qemuProcesses(home)).toEqual([]);
  expect(await readdir(path.join(home, 'vms'))).toEqual([]);
  expect(await readdir(runnerDirectory)).toEqual([]);
});
