import type { VmRunnerError } from '../core/errors.js';
import { toVmRunnerError, type Blame } from '../core/errors.js';
import { shellExitCode, type ExitStatus } from '../core/job.js';
import type { Log } from '../core/log.js';
import { writeWhole } from '../store/whole-file.js';

/** The exit codes that the Runner told us to use, and where it wants to read the script's own. */
export interface ExitCodes {
  /** The job's author has to act: the job fails as `script_failure`, at once. */
  readonly buildFailure: number;
  /** The operator has to act: the job fails as `runner_system_failure`; config and prepare are tried three times. */
  readonly systemFailure: number;
  /** `undefined` for a Runner older than 17.9, which knows only that a script failed. */
  readonly codeFile: string | undefined;
}

/** What the Runner passes today, for calls by hand and for failures before its own values are read. */
export const DEFAULT_EXIT_CODES: ExitCodes = { buildFailure: 1, systemFailure: 2, codeFile: undefined };

/** How a driver call ended. */
export type Outcome =
  | { readonly kind: 'done' }
  | { readonly kind: 'script-ended'; readonly status: ExitStatus }
  | { readonly kind: 'error'; readonly error: VmRunnerError };

/** What GitLab shows for a failure of the job's author that has no exit code of its own. */
const USER_ERROR_CODE = 1;

/**
 * The one place where an outcome becomes an exit code for the Runner, and the only writer of BUILD_EXIT_CODE_FILE.
 *
 * The Runner never clears that file between the calls of a job, so it is written for every build failure: else the code of
 * an earlier stage would be reported.
 */
export async function finish(outcome: Outcome, codes: ExitCodes, log: Log): Promise<number> {
  const code = failureOfJob(outcome);
  if (code === 'none') return 0;
  if (code === 'not its own') return codes.systemFailure;
  try {
    if (codes.codeFile !== undefined) await writeWhole(codes.codeFile, `${code}\n`);
    return codes.buildFailure;
  } catch (error) {
    log.warn(`exit code ${code} of the job is lost: ${toVmRunnerError(error).message}`);
    return codes.systemFailure;
  }
}

function failureOfJob(outcome: Outcome): number | 'none' | 'not its own' {
  switch (outcome.kind) {
    case 'done':
      return 'none';
    case 'script-ended':
      return shellExitCode(outcome.status) === 0 ? 'none' : shellExitCode(outcome.status);
    case 'error':
      return blameInJob(outcome.error) === 'user' ? USER_ERROR_CODE : 'not its own';
  }
}

/**
 * Whose fault it is in a GitLab job. Its author says nothing here but the image and the scripts: arguments, variables and
 * files come from config.toml and the Runner, and the VM was named by ourselves.
 */
function blameInJob(error: VmRunnerError): Blame {
  return error.code === 'invalid-input' || error.code === 'no-such-vm' ? 'infra' : error.blame;
}
