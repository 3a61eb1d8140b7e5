import { spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';

import { fileError, systemCode, VmRunnerError } from '../core/errors.js';
import type { ProcessIdentity, ProcessTable } from '../core/process-identity.js';

export interface DaemonOptions {
  readonly processes: ProcessTable;
  /** Where its standard output and standard error go. Never a pipe: CI runners wait until the last holder closes it. */
  readonly logFile: string;
  readonly cwd?: string;
  /** Open files that it gets as its descriptors 3, 4 and so on. */
  readonly descriptors?: readonly number[];
  /** The whole environment of the daemon. Default: a copy of ours. */
  readonly env?: Readonly<Record<string, string>>;
  /** What to do when the program is not installed. */
  readonly installHint?: string;
}

/** Characters of what a program said that ended too early. */
const KEPT_OUTPUT = 4096;

/**
 * Starts a program in a session of its own that outlives us, with nothing of our standard streams.
 * @throws host-tool-missing when it is not installed, vm-start-failed when it was gone at once.
 */
export async function startDaemon(argv: readonly string[], options: DaemonOptions): Promise<ProcessIdentity> {
  const [program = '', ...args] = argv;
  const logFd = openLog(options.logFile);
  try {
    const child = spawn(program, args, {
      detached: true,
      stdio: ['ignore', logFd, logFd, ...(options.descriptors ?? [])],
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      ...(options.env === undefined ? {} : { env: { ...options.env } }),
    });
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve);
      child.once('error', (cause) => reject(startError(program, options, cause)));
    });
    child.unref();
    const identity = child.pid === undefined ? undefined : options.processes.identify(child.pid);
    if (identity === undefined) {
      throw new VmRunnerError('vm-start-failed', 'program ended as soon as it was started', {
        subject: program,
        detail: readFileSync(options.logFile, 'utf8').slice(-KEPT_OUTPUT),
      });
    }
    return identity;
  } finally {
    closeSync(logFd);
  }
}

function openLog(path: string): number {
  try {
    return openSync(path, 'a', 0o600);
  } catch (cause) {
    throw fileError('open a log file', path, cause);
  }
}

function startError(program: string, options: DaemonOptions, cause: Error): VmRunnerError {
  if (systemCode(cause) === 'ENOENT') {
    return new VmRunnerError('host-tool-missing', 'program not found on this host', {
      subject: program,
      ...(options.installHint === undefined ? {} : { hint: options.installHint }),
      cause,
    });
  }
  return new VmRunnerError('vm-start-failed', `cannot start ${program}`, {
    hint: `The system said: ${cause.message}.`,
    cause,
  });
}
