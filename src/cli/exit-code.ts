import type { VmRunnerError } from '../core/errors.js';
import { Interruption } from './world.js';

/** Everything that is ours and not the guest's: usage, infrastructure, defects. */
export const OWN_FAILURE = 125;

/** The one place where an error becomes an exit code of the command line (the list is in `vm-runner --help`). */
export function exitCodeOf(error: VmRunnerError): number {
  if (error.cause instanceof Interruption) return error.cause.exitCode;
  switch (error.code) {
    case 'timed-out':
      return 124;
    case 'command-not-executable':
      return 126;
    case 'command-not-found':
      return 127;
    default:
      return OWN_FAILURE;
  }
}
