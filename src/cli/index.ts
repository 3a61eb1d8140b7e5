#!/usr/bin/env -S node --
import { renderError, VmRunnerError } from '../core/errors.js';
import { findInstallation } from '../process/installation.js';
import { OWN_FAILURE } from './exit-code.js';
import { main } from './main.js';
import { Interruption } from './world.js';

// The entry of the bundle: the only place of the command line that touches the process.

const EXIT_CODES = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;

const interrupted = new AbortController();
for (const [name, exitCode] of Object.entries(EXIT_CODES)) {
  process.on(name, () => {
    // Twice means now: what is left is an orphan, and goes with the next run or gc.
    if (interrupted.signal.aborted) process.exit(exitCode);
    const cause = new Interruption(name, exitCode);
    interrupted.abort(new VmRunnerError('cancelled', `interrupted by ${name}`, { cause }));
  });
}
// Whoever read our output has left (`| head`): end like a program that was told so by SIGPIPE.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    const left = error.code === 'EPIPE';
    const reason = left ? 'nobody reads the output any more' : `cannot write the output: ${error.message}`;
    const cause = new Interruption(error.message, left ? 141 : OWN_FAILURE);
    interrupted.abort(new VmRunnerError('cancelled', reason, { cause }));
  });
}
// Node would answer with 1, which is for the guest's program to say.
process.on('uncaughtException', (error) => {
  const isDefect = !(error instanceof VmRunnerError) || error.blame === 'bug';
  const defect = `${error.stack ?? error.message}\nThis is a defect of vm-runner: please report it.`;
  process.stderr.write(`vm-runner: ${isDefect ? defect : renderError(error)}\n`);
  process.exit(OWN_FAILURE);
});

process.exitCode = await main(process.argv.slice(2), {
  env: process.env,
  cwd: process.cwd(),
  uid: process.getuid?.(),
  pid: process.pid,
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  installation: findInstallation(process.argv[1] ?? ''),
  signal: interrupted.signal,
});
// Standard input may still be open, and would keep the process.
process.stdin.destroy();
