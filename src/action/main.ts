import path from 'node:path';

import type { HostConfig } from '../config/host-config.js';
import { loadHostConfig } from '../config/load.js';
import { fileError, toVmRunnerError, type VmRunnerError } from '../core/errors.js';
import { Timeline, type Log } from '../core/log.js';
import { HOST_CHECKS } from '../images/host-checks.js';
import { findInstallation } from '../process/installation.js';
import { openHost } from '../providers/host.js';
import type { Host } from '../providers/provider.js';
import { cleanup } from '../stages/cleanup.js';
import { orderVm } from '../stages/order.js';
import { randomVmName } from '../stages/name.js';
import { storeHome } from '../store/home.js';
import { untilCancelled } from './cancel.js';
import { conclude, summarize, writeOutputs, type Ending } from './ending.js';
import { parseInputs, type ActionInputs } from './inputs.js';
import { runJob, type JobOutcome, type JobRequest } from './job.js';
import { ActionLog } from './log.js';
import { publishCli } from './publish-cli.js';
import type { Runner } from './runner.js';
import { saveJobState } from './state.js';
import type { ActionWorld } from './world.js';
import { makeDirectories } from '../store/directories.js';

export interface MainOptions {
  readonly world: ActionWorld;
  readonly runner: Runner;
  /** Aborts when the step is cancelled. */
  readonly signal: AbortSignal;
  /** Makes sure that the host has what VMs need. */
  readonly preparePackages: (isBuilt: boolean, log: Log) => Promise<void>;
  readonly open?: typeof openHost;
}

const HOUR_MS = 3_600_000;
/** GitHub ends jobs after this unless they say otherwise. */
const LONGEST_JOB_MS = 6 * HOUR_MS;
/** Of the 7.5 s that the runner gives: how long a cancelled job may take to let go of its VM before that is destroyed. */
const LET_GO_MS = 2500;

/** The main step. Everything that goes wrong is reported here; returns whether the step passed. */
export async function main(options: MainOptions): Promise<boolean> {
  const { world, runner, signal } = options;
  const log = new ActionLog(runner);
  const timeline = new Timeline();
  let host: Host | undefined;
  let job: JobRequest | undefined;
  let outcome: JobOutcome | undefined;
  let error: VmRunnerError | undefined;
  try {
    const config = await readConfig(world);
    const inputs = parseInputs(world.inputs, { ...world, images: config.images });
    const opened = await openJob(options, config, inputs, log);
    host = opened.host;
    job = opened.job;
    const context = { log, timeline, signal, stdout: world.stdout };
    const work = async (): Promise<JobOutcome> => {
      await preparePackages(options, opened.host, log);
      return await runJob(opened.host, opened.job, context);
    };
    outcome = await untilCancelled(work(), signal, LET_GO_MS);
    error = outcome.error;
  } catch (thrown) {
    error = toVmRunnerError(thrown);
  }
  // Post would do it too, but a killed runner never gets there.
  if (signal.aborted && host !== undefined && job !== undefined) await destroyNow(host, job.prepare.name, log);
  const ending: Ending = { job, outcome, error, spans: timeline.spans };
  writeOutputs(runner, ending);
  if (world.hasSummary) await summarize(runner, ending, log);
  return conclude(runner, ending);
}

function readConfig({ hostFile, uid }: ActionWorld): Promise<HostConfig> {
  return loadHostConfig({ env: hostFile, uid, checks: HOST_CHECKS });
}

/** Says what is about to be made before it is, and opens the host. */
async function openJob(
  { world, runner, open = openHost }: MainOptions,
  config: HostConfig,
  inputs: ActionInputs,
  log: Log,
): Promise<{ readonly host: Host; readonly job: JobRequest }> {
  const order = orderVm(config, inputs.vm);
  const vm = { ...order.vm, template: order.vm.template ?? (world.isThrownAway ? 'never' : 'auto') };
  const installation = findInstallation(world.entry);
  const home = storeHome(world.store, world.uid);
  const name = randomVmName();
  saveJobState(runner, { vmName: name, home, provider: inputs.provider, hostFile: config.file });
  const host = await open({
    home,
    provider: inputs.provider,
    agentDirectory: installation.agentDirectory,
    registries: world.registries(config.registries),
    config,
  });
  const directory = path.join(world.temporary, 'vm-runner', name);
  await publishCli(world, runner, log, installation, { home, directory: path.join(directory, 'bin') });
  const artifactsPath = inputs.artifactsPath ?? path.join(directory, 'artifacts');
  if (inputs.artifacts.include.length > 0) await makeDirectory(artifactsPath);
  const job: JobRequest = {
    inputs,
    order: { ...order, vm },
    artifactsPath,
    directory,
    prepare: {
      vm,
      root: { workspace: inputs.workspace, user: order.user, pids: order.pids },
      name,
      owner: host.processes.identify(world.parentPid),
      expiresAt: Date.now() + (inputs.timeoutMs ?? LONGEST_JOB_MS) + HOUR_MS,
      bootTimeoutMs: order.bootTimeoutMs,
      waitMs: inputs.waitMs,
      frontEnd: 'action',
      job: world.job,
    },
  };
  return { host, job };
}

async function preparePackages(options: MainOptions, host: Host, log: Log): Promise<void> {
  if (!host.provider.bootsImages) return;
  await options.preparePackages((await host.images.findBaseGuest()) !== undefined, log);
}

async function makeDirectory(directory: string): Promise<void> {
  try {
    await makeDirectories(directory);
  } catch (cause) {
    throw fileError('make the directory for artifacts', directory, cause);
  }
}

async function destroyNow(host: Host, name: string, log: Log): Promise<void> {
  try {
    await cleanup(host, name, { keepLogs: true, log });
    log.info(`VM ${name} is destroyed.`);
  } catch (error) {
    log.warn(`${toVmRunnerError(error).message} The post step tries again.`);
  }
}
