import { DEFAULT_HOST_CONFIG, type HostConfig } from '../config/host-config.js';
import { loadHostConfig } from '../config/load.js';
import { toVmRunnerError } from '../core/errors.js';
import type { Log } from '../core/log.js';
import { HOST_CHECKS } from '../images/host-checks.js';
import { findInstallation } from '../process/installation.js';
import { openHost } from '../providers/host.js';
import { cleanup } from '../stages/cleanup.js';
import { reportError } from './failure.js';
import { ActionLog } from './log.js';
import type { Runner } from './runner.js';
import { readJobState, type JobState } from './state.js';

export interface PostOptions {
  readonly runner: Runner;
  /** The file that Node was started with. */
  readonly entry: string;
  readonly uid: number | undefined;
  readonly open?: typeof openHost;
}

/**
 * Destroys the VM that main said it would make, whatever became of main. A VM that is not there is success. A VM that cannot
 * be destroyed is an error in the job's log and not the job's failure: its result is known by now, and the VM goes with the
 * next run on this host, because its owner is gone.
 */
export async function post({ runner, entry, uid, open = openHost }: PostOptions): Promise<void> {
  const state = readJobState(runner);
  if (state === undefined) {
    runner.debug('vm-runner: there is no VM to destroy');
    return;
  }
  const log = new ActionLog(runner);
  try {
    const { agentDirectory } = findInstallation(entry);
    const config = await configOrDefault(state, uid, log);
    const host = await open({ home: state.home, provider: state.provider, agentDirectory, config });
    const { logs } = await cleanup(host, state.vmName, { keepLogs: !state.passed, log });
    log.info(`VM ${state.vmName} is destroyed.`);
    if (logs !== undefined) log.info(`Its logs are kept on this host in ${logs}`);
  } catch (error) {
    reportError(runner, toVmRunnerError(error));
  }
}

/** A host file that was broken meanwhile is no reason to leave a VM behind. */
async function configOrDefault(
  { hostFile }: Pick<JobState, 'hostFile'>,
  uid: number | undefined,
  log: Log,
): Promise<HostConfig> {
  if (hostFile === undefined) return DEFAULT_HOST_CONFIG;
  try {
    return await loadHostConfig({ env: { VM_RUNNER_CONFIG: hostFile }, uid, checks: HOST_CHECKS });
  } catch (error) {
    log.warn(`The VM is destroyed by the rules of a host without a host file: ${toVmRunnerError(error).message}`);
    return DEFAULT_HOST_CONFIG;
  }
}
