import { readdir } from 'node:fs/promises';
import path from 'node:path';

import { expect, inject, it } from 'vitest';

import { vmRunner } from '../support/command-line.js';
import { qemuProcesses } from '../support/e2e.js';
import { familyImages, writeLayout } from '../support/made-images.js';
import { runnerHost } from '../support/gitlab-simulator/host.js';
import { startJob } from '../support/gitlab-simulator/runner.js';

it("runs the Runner's own scripts in the default image, and the job's in its image, in one directory", async () => {
  const { directory, home, settings } = await runnerHost(inject('sharedHome'));
  await writeLayout(path.join(directory, 'made'), {
    layers: [
      ...((await familyImages())['user']?.layers ?? []),
      [{ path: 'entry', mode: 0o755, content: '#!/bin/sh\necho through the entrypoint\nexec "$@"\n' }],
    ],
    config: { User: 'node', Env: ['PATH=/bin', 'GREETING=hello'], Entrypoint: ['/entry'] },
  });
  const made = await vmRunner(['image', 'import', 'oci:made', 'made'], { home, cwd: directory });
  expect(made, made.stderr).toMatchObject({ exitCode: 0 });
  const project = '/builds/group/project';
  const sources = ['git --version', 'id -un', `mkdir -p ${project}`, `echo fetched > ${project}/file`];
  const script = ['id -un', 'echo "$GREETING"', 'cat file', 'echo more >> file', 'echo new > mine', 'cat file'];
  const job = startJob(
    {
      ...{ id: 8, projectId: 3, projectPath: 'group/project', image: 'local/made', getSources: sources, script },
      afterScript: ['cat mine'],
    },
    settings,
  );
  expect(await job.result, job.trace.text).toEqual({ state: 'success' });
  const lines = job.trace.text.split('\n').filter((line) => !line.startsWith('$'));
  expect(lines).toEqual(expect.arrayContaining(['root', 'node', 'hello', 'fetched', 'more', 'new']));
  expect(job.trace.text).toMatch(/^git version /m);
  expect(lines.filter((line) => line === 'through the entrypoint')).toHaveLength(2);
  expect(qemuProcesses(home)).toEqual([]);
});

it("fails a job for its author when there is no such image, and when it names the host's files", async () => {
  const { settings } = await runnerHost(inject('sharedHome'));
  for (const [image, sentence] of [
    ['local/none', 'no image of that name on this host: local/none'],
    ['rootfs:/etc/shadow', 'jobs cannot name files of the host: rootfs:/etc/shadow'],
  ] as const) {
    const job = startJob({ id: 9, projectId: 3, projectPath: 'group/project', image, script: ['true'] }, settings);
    expect(await job.result, job.trace.text).toMatchObject({ state: 'failed', failureReason: 'script_failure' });
    expect(job.trace.text).toContain(sentence);
  }
});

it('runs the stages of a GitLab job in a real guest, lets go of its pipes, and leaves nothing', async () => {
  const { home, runnerDirectory, settings } = await runnerHost(inject('sharedHome'));
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
