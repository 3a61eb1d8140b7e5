#!/usr/bin/env -S node --
import { VmRunnerError } from '../core/errors.js';
import { findInstallation } from '../process/installation.js';
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
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  const exitCode = error.code === 'EPIPE' ? 141 : 125;
  interrupted.abort(
    new VmRunnerError('cancelled', 'nobody reads the output any more', {
      cause: new Interruption(error.message, exitCode),
    }),
  );
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
