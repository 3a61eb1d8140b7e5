import { spawnSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

import { startJob } from '../support/gitlab-simulator/runner.js';
import { aJob, gitLabHost } from './support.js';

describe('an accident', () => {
  it('of the Runner makes its VM an orphan, which the next job removes', async () => {
    const { settings, vms, directory } = await gitLabHost();
    const response = path.join(directory, 'response.json');
    await writeFile(response, '{"id":1}');
    // A shell in the place of the Runner, which is gone when prepare has ended.
    const { status } = spawnSync('sh', ['-c', '"$0" "$@"; exit $?', settings.prepareExec, '--provider', 'fake'], {
      env: { ...settings.env, VM_RUNNER_VM: 'vm-orphan', JOB_RESPONSE_FILE: response },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    expect(status).toBe(0);
    expect(await vms()).toEqual(['vm-orphan']);
    const job = startJob(aJob({ script: ['true'] }), settings);
    expect(await job.result).toEqual({ state: 'success' });
    expect(job.trace.text).toContain('removed VM vm-orphan: owner is gone\n');
    expect(await vms()).toEqual([]);
  });

  it('of the clean-up that comes while a script still runs ends that script as a system failure', async () => {
    const { settings, vms } = await gitLabHost();
    const job = startJob(aJob({ script: ['echo ready', 'sleep 300'] }), settings);
    await job.trace.shows('ready\n');
    const [vm = ''] = await vms();
    const cleanup = (): number | null =>
      spawnSync(settings.cleanupExec, { env: { ...settings.env, VM_RUNNER_VM: vm }, stdio: 'pipe' }).status;
    expect(cleanup()).toBe(0);
    expect(await vms()).toEqual([]);
    expect(await job.result).toEqual({ state: 'failed', failureReason: 'runner_system_failure' });
    expect(cleanup()).toBe(0);
  });
});
