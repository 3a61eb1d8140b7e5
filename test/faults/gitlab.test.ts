import { mkdir, readdir, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

import { faultyHost, steps, SWEEP } from '../support/faults/faulty-host.js';
import { processesOf } from '../support/faults/leftovers.js';
import { runProgram, startProgram, type Fault, type ProgramResult } from '../support/faults/program.js';
import { attemptFiles, driverEnvironment, writeResponse } from '../support/gitlab-simulator/environment.js';
import type { SimulatedJob } from '../support/gitlab-simulator/job.js';
import { Scripts } from '../support/gitlab-simulator/scripts.js';

/** One stage of each kind: of the Runner's own, of the job's, after it, and the last one. */
const STAGES = ['prepare_script', 'get_sources', 'build_script', 'after_script', 'cleanup_file_variables'];
const KILLS = ['kill', 'torn'] as const;

/** A Runner that calls the driver for one job, whose VM is an agent on this machine. */
async function runner() {
  const host = await faultyHost();
  const job: SimulatedJob = {
    ...{ id: 1, projectId: 2, projectPath: 'group/project' },
    ...{ script: ['echo built > file'], afterScript: ['cat file'] },
  };
  const files = attemptFiles(path.join(host.directory, 'attempt'));
  await mkdir(files.directory);
  await writeResponse(files, job);
  let jobEnv: Readonly<Record<string, string>> = {};
  const options = (fault?: Fault, listed = false) => ({
    ...{ directory: host.directory, bundle: 'gitlab' as const, fault, listed },
    env: driverEnvironment({}, files, jobEnv, job, 'running'),
  });
  const call = (args: readonly string[], fault?: Fault): Promise<ProgramResult> => runProgram(args, options(fault));
  const operations = async (args: readonly string[]): Promise<readonly string[]> =>
    (await runProgram(args, options(undefined, true))).operations;

  const config = ['config', '--builds-dir', path.join(host.directory, 'builds')];
  config.push('--cache-dir', path.join(host.directory, 'cache'));
  const configure = async (): Promise<void> => {
    const { stdout } = await call(config);
    jobEnv = (JSON.parse(stdout) as { job_env: Record<string, string> }).job_env;
  };
  const prepare = ['prepare', '--provider', 'fake'];
  const scripts = new Scripts(job, path.join(host.directory, 'builds'), 'host');
  const stage = async (name: string, script = scripts.of(name)): Promise<readonly string[]> => {
    const file = path.join(files.directory, name);
    await writeFile(file, script ?? '', { mode: 0o700 });
    return ['run', file, name];
  };
  const expectDone = async (args: readonly string[], about = ''): Promise<void> => {
    const { exitCode, stderr } = await call(args);
    expect({ exitCode }, `${about}\n${stderr}`).toEqual({ exitCode: 0 });
  };
  /** What the Runner does in any case, and what must be so behind it. */
  const expectCleanup = async (about = ''): Promise<void> => {
    await expectDone(['cleanup'], about);
    expect(await readdir(path.join(host.home, 'vms')), about).toEqual([]);
    expect(processesOf(host.home), about).toEqual([]);
  };
  await configure();
  // The first job of a store does more than the others.
  await expectDone(prepare);
  await expectCleanup();
  return {
    ...{ host, call, config, configure, prepare, stage, operations, expectDone, expectCleanup },
    start: (args: readonly string[]) => startProgram(args, options()),
  };
}

describe("kill -9 of GitLab's driver", () => {
  it('while it configures a job leaves nothing, since there is nothing that it does', async () => {
    const { operations, config } = await runner();
    expect(await operations(config)).toEqual([]);
  });

  it.each(KILLS)('at each step of prepare leaves nothing behind cleanup (%s)', SWEEP, async (act) => {
    const { host, call, prepare, operations, expectDone, expectCleanup } = await runner();
    const all = await operations(prepare);
    await expectCleanup();
    expect(all.length).toBeGreaterThan(30);
    for (const at of steps(all.length, 5)) {
      const about = `${act} at ${at}: ${all[at - 1] ?? ''}`;
      const { killed, stderr } = await call(prepare, { act, at });
      expect(killed, `${about}\n${stderr}`).toBe(true);
      await expectCleanup(about);
      await host.expectNoLeak(about);
    }
    await expectDone(prepare);
    await expectCleanup();
  });

  it.each(STAGES)('at each step of %s keeps the VM, in which it runs again', SWEEP, async (name) => {
    const { host, call, prepare, stage, operations, expectDone, expectCleanup } = await runner();
    await expectDone(prepare);
    for (const before of STAGES.slice(0, STAGES.indexOf(name))) await expectDone(await stage(before));
    const run = await stage(name);
    const all = await operations(run);
    expect(all.length).toBeGreaterThan(5);
    let kills = 0;
    for (const at of steps(all.length, 2)) {
      const about = `kill at ${at}: ${all[at - 1] ?? ''}`;
      const { killed, exitCode, stderr } = await call(run, { act: 'kill', at });
      // What a script prints comes in fewer pieces now and then, each of which is written down: then it was done before.
      expect(killed || exitCode === 0, `${about}\n${stderr}`).toBe(true);
      kills += killed ? 1 : 0;
      await expectDone(run, about);
    }
    expect(kills).toBeGreaterThan(0);
    await expectCleanup();
    await host.expectNoLeak();
  });

  it('while a script runs ends the script, and after_script runs in the same VM', async () => {
    const { host, prepare, stage, start, expectDone, expectCleanup } = await runner();
    await expectDone(prepare);
    for (const name of ['get_sources', 'build_script']) await expectDone(await stage(name));
    // Its command line names the store, by which it is found.
    const script = `echo ready; exec sh -c 'sleep 300; : ${host.home}/script'`;
    const running = start(await stage('build_script', script));
    await running.said('ready\n');
    const scripts = (): string[] => processesOf(host.home).filter((line) => line.includes('sleep 300'));
    expect(scripts()).not.toEqual([]);
    running.child.kill('SIGKILL');
    expect(await running.result).toMatchObject({ killed: true });
    await expectDone(await stage('after_script'));
    await expect.poll(scripts, { timeout: 30_000 }).toEqual([]);
    await expectCleanup();
    await host.expectNoLeak();
  });

  it('at each step of cleanup leaves what the next one, or gc, takes', SWEEP, async () => {
    const { host, call, prepare, operations, expectDone, expectCleanup } = await runner();
    await expectDone(prepare);
    const all = await operations(['cleanup']);
    expect(all.length).toBeGreaterThan(15);
    for (const at of steps(all.length, 4)) {
      const about = `kill at ${at}: ${all[at - 1] ?? ''}`;
      await expectDone(prepare, about);
      const { killed, stderr } = await call(['cleanup'], { act: 'kill', at });
      expect(killed, `${about}\n${stderr}`).toBe(true);
      if (at % 2 === 0) await expectCleanup(about);
      await host.expectNoLeak(about);
    }
    await expectDone(prepare);
    await expectCleanup();
  });
});
