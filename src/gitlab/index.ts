import { renderError, toVmRunnerError, VmRunnerError } from '../core/errors.js';
import { findInstallation } from '../process/installation.js';
import { systemFailureCode } from './env.js';
import { main } from './main.js';

// The entry of the bundle that the shims in executors/gitlab start: the only place of this front end that touches the process.

// Node ends with 1 after an error that nobody caught, which the Runner would take for the job's own failure.
process.on('uncaughtException', (error) => {
  process.stderr.write(`${renderError(toVmRunnerError(error), 'ERROR')}\n${error.stack ?? ''}\n`);
  process.exit(systemFailureCode(process.env));
});

const ended = new AbortController();
for (const name of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
  // Again and again is no reason to hurry: the Runner sends SIGKILL when it has waited long enough.
  process.on(name, () => ended.abort(new VmRunnerError('cancelled', `ended by the Runner with ${name}`)));
}
for (const stream of [process.stdout, process.stderr]) {
  // The Runner was killed (EPIPE). Nobody is left to be told, so the stage winds up in silence.
  stream.on('error', () => ended.abort(new VmRunnerError('cancelled', 'nobody reads the output any more')));
}

process.exitCode = await main({
  args: process.argv.slice(2),
  env: process.env,
  uid: process.getuid?.(),
  parentPid: process.ppid,
  stdout: process.stdout,
  stderr: process.stderr,
  installation: findInstallation(process.argv[1] ?? ''),
  signal: ended.signal,
});
