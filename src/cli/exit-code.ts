import type { VmRunnerError } from '../core/errors.js';
import type { ExitCodeRow } from './command.js';
import { Interruption } from './world.js';

/** Everything that is ours and not the guest's: usage, infrastructure, defects. */
export const OWN_FAILURE = 125;

const FAILED: ExitCodeRow = [String(OWN_FAILURE), 'it could not be done; standard error says why'];
const INTERRUPTED: ExitCodeRow = ['130, 143, 129', 'ended by Ctrl-C, SIGTERM, SIGHUP'];

/** Of most commands. */
export const EXIT_CODES: readonly ExitCodeRow[] = [['0', 'done'], FAILED, INTERRUPTED];

/** Of those that are looked at until the reader has enough. */
export const LIVE_EXIT_CODES: readonly ExitCodeRow[] = [
  ['0', 'done, or ended by Ctrl-C'],
  FAILED,
  ['143, 129', 'ended by SIGTERM, SIGHUP'],
  ['141', 'nobody reads the output any more'],
];

/** Of those that run a program in a guest, whose exit code is theirs. */
export const PROGRAM_EXIT_CODES: readonly ExitCodeRow[] = [
  ['0 … 255', 'of the program in the guest'],
  ['128+n', 'signal n ended the program'],
  ['124', 'its time was over'],
  ['126', 'the program could not be run'],
  ['127', 'there is no such program'],
  [String(OWN_FAILURE), 'vm-runner itself could not do it, wrong usage included; standard error says why'],
  INTERRUPTED,
  ['141', 'nobody reads the output any more'],
];

/** The one place where an error becomes an exit code of the command line. */
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
