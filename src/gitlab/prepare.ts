import type { NetworkPolicy } from '../core/job.js';
import { renderTimeline, Timeline, type Log } from '../core/log.js';
import { formatDuration } from '../core/units.js';
import { jobImage } from '../stages/job-image.js';
import { prepare } from '../stages/prepare.js';
import { requireJobResponseFile, requireVmName, sharedDirectories } from './env.js';
import type { Outcome } from './exit-code.js';
import { driverConfig, openDriverHost } from './host.js';
import { registriesFor } from './registries.js';
import { readJobResponse, type JobResponse } from './job-response.js';
import { driverLog } from './log.js';
import { orderJobVm } from './order.js';
import { findRunner } from './owner.js';
import { pullInOrder } from './pull.js';
import { parsePrepareSettings } from './settings.js';
import type { World } from './world.js';

/** How long after its job's own end a VM may live: after_script, artifacts and cleanup come behind the timeout. */
const EXPIRY_MARGIN_MS = 3_600_000;

/** prepare_exec: boots the VM of the job. It outlives this call and belongs to the Runner. */
export async function prepareStage(args: readonly string[], world: World): Promise<Outcome> {
  const settings = parsePrepareSettings(args);
  const name = requireVmName(world.env);
  const job = await readJobResponse(requireJobResponseFile(world.env));
  const config = await driverConfig(world, settings.config);
  const order = orderJobVm(job, settings, config);
  const log = driverLog(world.stderr);
  warnOfReach(settings.provider, order.vm.network, log);
  const registries = registriesFor(job, world.env, config.registries);
  const host = await openDriverHost(world, config, { provider: settings.provider, registries });
  const timeline = new Timeline();
  const context = { log, timeline, signal: world.signal };
  const { bootTimeoutMs, pids } = order;
  const pulled = await pullInOrder(host, order.vm, order.policies, context);
  const vm = await jobImage(host, { ...order, vm: pulled }, { ...context, frontEnd: 'gitlab' });
  const { entrypoint, user = order.user } = job;
  const request = {
    vm,
    // Whoever the image's programs run as writes there.
    root: { entrypoint, user, pids, shared: sharedDirectories(world.env).map((path) => ({ path, mode: 0o777 })) },
    name,
    owner: findRunner(host.processes, world.parentPid),
    expiresAt: Date.now() + job.timeoutMs + EXPIRY_MARGIN_MS,
    bootTimeoutMs,
    waitMs: settings.waitMs,
    frontEnd: 'gitlab',
    job: labelOf(job),
  };
  await prepare(host, request, context);
  const total = formatDuration(timeline.elapsedMs);
  log.info(`VM ${name} is ready after ${total} (${renderTimeline(timeline.spans, formatDuration)})`);
  return { kind: 'done' };
}

function warnOfReach(provider: string, network: NetworkPolicy, log: Log): void {
  if (provider === 'fake') {
    log.warn('the provider "fake" makes no VM: this job runs on the host itself, with all rights of the Runner');
  } else if (network === 'open') {
    log.warn('the guest can reach this host and its network: run only jobs that you trust, or set --network none');
  }
}

/** Shown by `vm-runner ps`. */
function labelOf(job: JobResponse): string {
  return job.projectId === undefined ? `job ${job.id}` : `job ${job.id} of project ${job.projectId}`;
}
