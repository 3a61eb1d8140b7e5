import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { expect, it } from 'vitest';

import { NEVER } from '../../src/store/record.js';
import { recordNamed } from '../store/vm-record.js';
import { startJob } from '../support/gitlab-simulator/runner.js';
import { aJob, gitLabHost } from './support.js';

it('the host file that config_args name counts in every stage of a job', async () => {
  const { settings, directory, vms } = await gitLabHost();
  const file = path.join(directory, 'h.toml');
  const withFile = { ...settings, configArgs: [...(settings.configArgs ?? []), '--config', file] };

  await writeFile(file, '[images.ours]\nreference = "default"\n[limits]\nimages = ["ours"]\n');
  const passes = startJob(aJob({ script: ['true'], image: 'ours' }), withFile);
  expect(await passes.result, passes.trace.text).toEqual({ state: 'success' });

  const refused = startJob(aJob({ script: ['true'], image: 'node:22' }), withFile);
  expect(await refused.result, refused.trace.text).toMatchObject({ state: 'failed', failureReason: 'script_failure' });
  expect(refused.trace.text).toContain(
    `ERROR[not-allowed]: image is not allowed on this host: node:22. Allowed: ours: limits.images in ${file}:4.`,
  );

  await writeFile(file, '[limits]\ncpus = 0\n');
  const broken = startJob(aJob({ script: ['true'] }), withFile);
  expect(await broken.result).toMatchObject({ state: 'failed', failureReason: 'runner_system_failure' });
  expect(broken.trace.text).toContain(`${file}:2: not a number of processors: limits.cpus = 0.`);
  expect(await vms()).toEqual([]);
});

it('a host file that is broken while a job runs leaves no VM behind', async () => {
  const { settings, directory, vms } = await gitLabHost();
  const file = path.join(directory, 'h.toml');
  await writeFile(file, '[keep]\nlog-vms = 3\n');
  const withFile = { ...settings, configArgs: [...(settings.configArgs ?? []), '--config', file] };
  const job = startJob(aJob({ script: [`echo 'log-vms = 0' >${file}`] }), withFile);
  await job.result;
  expect(await readFile(file, 'utf8')).toBe('log-vms = 0\n');
  const { exitCode, stdout = '', stderr = '' } = job.calls.find(({ name }) => name === 'cleanup') ?? {};
  expect(exitCode).toBe(0);
  expect(stdout + stderr).toContain(`${file}:1: no such setting: log-vms.`);
  expect(await vms()).toEqual([]);
});

it('a job waits for room as long as prepare_args say, and no room is a failure of the system', async () => {
  const { settings, directory, host } = await gitLabHost();
  const file = path.join(directory, 'h.toml');
  await writeFile(file, '[capacity]\nvms = 1\n');
  await host.store.vms.create(recordNamed('vm-other', { expiresAt: NEVER }));
  const prepareArgs = [...(settings.prepareArgs ?? []), '--config', file, '--wait', '0'];
  const job = startJob(aJob({ script: ['true'] }), { ...settings, prepareArgs });
  expect(await job.result).toMatchObject({ state: 'failed', failureReason: 'runner_system_failure' });
  expect(job.trace.text).toContain('ERROR[no-capacity]: no room for a VM on this host now: needs one more VM');
});
