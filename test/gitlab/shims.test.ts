import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, rm, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

import { temporaryDirectory } from '../support/temporary-directory.js';
import { aJob, gitLabHost, installedCopy, shim } from './support.js';
import { startJob } from '../support/gitlab-simulator/runner.js';

const STAGES = ['config', 'prepare', 'run', 'cleanup'] as const;

function start(
  program: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): { status: number | null; stdout: string; stderr: string } {
  const { status, stdout, stderr } = spawnSync(program, args, {
    env: { PATH: process.env['PATH'], HOME: '/nonexistent', ...env },
    encoding: 'utf8',
  });
  return { status, stdout, stderr };
}

describe('the shims', () => {
  it.each(STAGES)('%s explains itself', (stage) => {
    const { status, stdout, stderr } = start(shim(stage), ['--help']);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toContain('config [--builds-dir DIR]');
  });

  it('work through links, relative ones too', async () => {
    const directory = await temporaryDirectory();
    await mkdir(path.join(directory, 'bin'));
    await symlink(shim('config'), path.join(directory, 'absolute'));
    await symlink('../absolute', path.join(directory, 'bin/config'));
    const { status, stdout } = start(path.join(directory, 'bin/config'), []);
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ driver: { name: 'vm-runner' } });
  });

  it('find the Node that npm installed them with when PATH has none', async () => {
    const prefix = await temporaryDirectory();
    const executors = await installedCopy(prefix);
    const env = { PATH: await toolsWithoutNode(prefix) };
    const alone = start(path.join(executors, 'config'), [], env);
    expect(alone).toMatchObject({ status: 2, stdout: '' });
    expect(alone.stderr).toMatch(
      /^ERROR: Node\.js not found\. Install version 20\.15 or newer where the Runner finds it/,
    );
    await mkdir(path.join(prefix, 'bin'));
    await symlink(process.execPath, path.join(prefix, 'bin/node'));
    expect(start(path.join(executors, 'config'), [], env)).toMatchObject({ status: 0, stderr: '' });
  });

  it.each(['v18.20.4', 'v20.14.0'])('refuse Node %s with the exit code of a system failure', async (version) => {
    const directory = await temporaryDirectory();
    const tools = await toolsWithoutNode(directory);
    await writeFile(path.join(tools, 'node'), `#!/bin/sh\necho ${version}\n`, { mode: 0o755 });
    const run = path.join(await installedCopy(directory), 'run');
    const { status, stderr } = start(run, [], { PATH: tools, SYSTEM_FAILURE_EXIT_CODE: '9' });
    expect(status).toBe(9);
    expect(stderr).toContain(`ERROR: Node.js is too old: version ${version.slice(1)}. Install version 20.15 or newer`);
  });

  it('say when the package is not complete', async () => {
    const prefix = await temporaryDirectory();
    const executors = await installedCopy(prefix);
    await rm(path.join(prefix, 'lib/node_modules/vm-runner/dist/gitlab'), { recursive: true });
    const { status, stderr } = start(path.join(executors, 'prepare'), []);
    expect(status).toBe(2);
    expect(stderr).toMatch(/^ERROR: vm-runner is not complete: .*index\.js is missing\./);
  });
});

describe('a driver call', () => {
  it('config prints nothing but its answer', () => {
    const { stdout, stderr } = start(shim('config'), []);
    expect(stderr).toBe('');
    expect(JSON.parse(stdout)).toEqual({
      driver: { name: 'vm-runner', version: expect.stringMatching(/^\d+\.\d+\.\d+/) as string },
      builds_dir: '/builds',
      cache_dir: '/cache',
      shell: 'bash',
      job_env: {
        VM_RUNNER_VM: expect.stringMatching(/^vm-[0-9a-f]{10}$/) as string,
        VM_RUNNER_BUILDS_DIR: '/builds',
        VM_RUNNER_CACHE_DIR: '/cache',
      },
    });
  });

  it('cleanup is content without a VM, a name, a job or a store', async () => {
    const directory = await temporaryDirectory();
    const VM_RUNNER_HOME = path.join(directory, 'home');
    expect(start(shim('cleanup'), [], { HOME: directory })).toMatchObject({ status: 0, stderr: '' });
    expect(start(shim('cleanup'), [], { VM_RUNNER_HOME, VM_RUNNER_VM: 'vm-0123456789' })).toMatchObject({
      status: 0,
      stderr: '',
    });
    expect(start(shim('cleanup'), ['--fast'], { VM_RUNNER_HOME }).stderr).toBe(
      'WARNING: cleanup takes no arguments; cleanup_args of [runners.custom] are ignored: --fast\n',
    );
  });

  it.each([
    ['prepare', [], {}, 'no VM was named for this job: VM_RUNNER_VM. Set config_exec of [runners.custom]'],
    ['prepare', [], { VM_RUNNER_VM: 'vm-1' }, 'no file with the job: JOB_RESPONSE_FILE.'],
    [
      'prepare',
      [],
      { VM_RUNNER_VM: 'vm-1', JOB_RESPONSE_FILE: '/nowhere' },
      'cannot read the job of the Runner: /nowhere.',
    ],
    ['run', ['/nowhere', 'build_script'], { VM_RUNNER_VM: '../x' }, 'not a name of a VM: VM_RUNNER_VM=../x.'],
    ['run', ['/nowhere', 'build_script'], { VM_RUNNER_VM: 'vm-1' }, 'cannot read the script of the Runner: /nowhere.'],
    ['run', [shim('run'), 'build_script'], { VM_RUNNER_VM: 'vm-1' }, 'no such VM: vm-1.'],
    ['run', [], { VM_RUNNER_VM: 'vm-1' }, 'run needs a script and the name of a stage, but got 0 arguments.'],
    ['cleanup', [], { VM_RUNNER_VM: 'vm-1', VM_RUNNER_HOME: 'here' }, 'not an absolute path: VM_RUNNER_HOME=here.'],
  ] as const)('%s %j with %j is a system failure: %s', async (stage, args, env, sentence) => {
    const home = path.join(await temporaryDirectory(), 'home');
    const { status, stdout, stderr } = start(shim(stage), args, { VM_RUNNER_HOME: home, ...env });
    expect(stderr).toMatch(/^ERROR\[[a-z-]+\]: /m);
    expect(stderr).toContain(`]: ${sentence}`);
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
  });

  it('run ends quietly, and its script with it, when nobody reads its output any more', async () => {
    const { settings, host, directory } = await gitLabHost();
    const job = startJob(aJob({ script: ['echo ready', 'sleep 300'] }), settings);
    await job.trace.shows('ready\n');
    const { records } = await host.store.vms.list();
    const script = path.join(directory, 'talk');
    await writeFile(script, 'while :; do echo line; sleep 0.1; done\n');
    const env = { ...settings.env, VM_RUNNER_VM: records[0]?.name ?? '' };
    const child = spawn(settings.runExec, [script, 'step_new'], { env, stdio: ['ignore', 'pipe', 'pipe'] });
    await once(child.stdout, 'data');
    // As when the Runner was killed.
    child.stdout.destroy();
    child.stderr.destroy();
    expect(await once(child, 'exit')).toEqual([2, null]);
    job.cancel('canceled');
    await job.result;
  });
});

/** A directory for PATH with what the shims need besides Node. */
async function toolsWithoutNode(directory: string): Promise<string> {
  const tools = path.join(directory, 'tools');
  await mkdir(tools);
  for (const tool of ['dirname', 'readlink']) await symlink(`/usr/bin/${tool}`, path.join(tools, tool));
  return tools;
}
