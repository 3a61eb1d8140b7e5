import * as core from '@actions/core';
import { exec } from '@actions/exec';

import { SYSTEM_PATH } from '../process/system-path.js';
import { cancelSignal } from './cancel.js';
import { ensureHostPackages } from './host-packages.js';
import { main } from './main.js';
import { readWorld } from './world.js';

// The main step of the action: the only place, beside post-index.ts, that touches the process.

/** The runner kills at 7.5 s. Before that we go by ourselves, with a word, and leave the rest to post. */
const LAST_MOMENT_MS = 6500;

const signal = cancelSignal(process);
signal.addEventListener('abort', () => {
  const goNow = (): void => {
    core.warning('The VM could not be destroyed in time: the post step does it.', { title: 'vm-runner' });
    process.exit(core.ExitCode.Failure);
  };
  setTimeout(goNow, LAST_MOMENT_MS).unref();
});

const world = readWorld(process, core);
const passed = await main({
  world,
  runner: core,
  signal,
  preparePackages: (isBuilt, log) =>
    ensureHostPackages({
      log,
      isBuilt,
      host: world.host,
      searchPath: SYSTEM_PATH,
      run: ([program = '', ...args]) => exec(program, args, { ignoreReturnCode: true }),
    }),
});
// What a cancelled job still waits for must not keep the step.
process.exit(passed ? core.ExitCode.Success : core.ExitCode.Failure);
