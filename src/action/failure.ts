import { shellExitCode, type ExitStatus } from '../core/job.js';
import { renderError, type Blame, type ErrorCode, type VmRunnerError } from '../core/errors.js';
import { inert } from './inert.js';
import type { Runner } from './runner.js';

/** The runner cuts longer messages of annotations. */
const LONGEST_ANNOTATION = 4000;

/** Heads of annotations: the first thing a reader wants to know is whose turn it is. */
const TITLE_OF: Readonly<Record<Blame, string>> = {
  user: 'vm-runner: the job asked for something that does not work',
  infra: 'vm-runner: the host of this runner failed',
  bug: 'vm-runner: a defect of vm-runner',
};
const CANCELLED_TITLE = 'vm-runner: cancelled';
const SCRIPT_TITLE = 'vm-runner: the script failed';

/** One annotation with the sentence; evidence such as a console goes to the log, where there is room for it. */
export function reportError(runner: Runner, error: VmRunnerError): void {
  if (error.detail !== undefined && error.detail.trim() !== '') {
    runner.startGroup('What is known about the failure');
    runner.info(inert(renderError(error)));
    runner.endGroup();
  }
  const title = error.code === 'cancelled' ? CANCELLED_TITLE : TITLE_OF[error.blame];
  runner.error(error.message.slice(0, LONGEST_ANNOTATION), { title: `${title} [${error.code}]` });
}

/** The annotation for a script that ran to an end other than 0. */
export function reportExit(runner: Runner, status: ExitStatus): void {
  const code = shellExitCode(status);
  const how =
    status.signal === 0 ? `ended with exit code ${code}` : `was ended by signal ${status.signal} (exit code ${code})`;
  runner.error(`The script in the VM ${how}.`, { title: SCRIPT_TITLE });
}

/** Exit codes for scripts that have none of their own, as shells and `timeout` give them. */
const EXIT_CODE_OF: Partial<Record<ErrorCode, number>> = {
  'timed-out': 124,
  'command-not-executable': 126,
  'command-not-found': 127,
};

/** The exit code that the error stands for; `undefined` when no script ended with it. */
export function exitCodeOf(error: VmRunnerError): number | undefined {
  return EXIT_CODE_OF[error.code];
}
