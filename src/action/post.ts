import { toVmRunnerError } from '../core/errors.js';
import { findInstallation } from '../process/installation.js';
import { openHost } from '../providers/host.js';
import { cleanup } from '../stages/cleanup.js';
import { reportError } from './failure.js';
import { ActionLog } from './log.js';
import type { Runner } from './runner.js';
import { readJobState } from './state.js';

export interface PostOptions {
  readonly runner: Runner;
  /** The file that Node was started with. */
  readonly entry: string;
  readonly open?: typeof openHost;
}

/**
 * Destroys the VM that main said it would make, whatever became of main. A VM that is not there is success. A VM that cannot
 * be destroyed is an error in the job's log and not the job's failure: its result is known by now, and the VM goes with the
 * next run on this host, because its owner is gone.
 */
export async function post({ runner, entry, open = openHost }: PostOptions): Promise<void> {
  const state = readJobState(runner);
  if (state === undefined) {
    runner.debug('vm-runner: there is no VM to destroy');
    return;
  }
  const log = new ActionLog(runner);
  try {
    const { agentDirectory } = findInstallation(entry);
    const host = await open({ home: state.home, provider: state.provider, agentDirectory });
    const { logs } = await cleanup(host, state.vmName, { keepLogs: !state.passed, log });
    log.info(`VM ${state.vmName} is destroyed.`);
    if (logs !== undefined) log.info(`Its logs are kept on this host in ${logs}`);
  } catch (error) {
    reportError(runner, toVmRunnerError(error));
  }
}
