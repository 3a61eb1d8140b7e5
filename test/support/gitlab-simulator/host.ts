import { mkdir } from 'node:fs/promises';
import path from 'node:path';

import { shim } from '../../gitlab/support.js';
import { homeWithImages } from '../e2e.js';

/** A host with a store of its own on which the simulated Runner drives real guests. */
export async function runnerHost(sharedHome: string) {
  const { directory, home } = await homeWithImages(sharedHome);
  const runnerDirectory = path.join(directory, 'runner');
  await mkdir(runnerDirectory);
  const settings = {
    directory: runnerDirectory,
    env: { PATH: process.env['PATH'] ?? '', HOME: directory, VM_RUNNER_HOME: home },
    configExec: shim('config'),
    prepareExec: shim('prepare'),
    prepareArgs: ['--network', 'none', '--memory', '512M', '--pull', 'never'],
    runExec: shim('run'),
    cleanupExec: shim('cleanup'),
    gracefulKillTimeoutMs: 60_000,
  };
  return { directory, home, runnerDirectory, settings };
}
