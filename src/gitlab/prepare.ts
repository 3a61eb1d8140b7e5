import { VmRunnerError } from '../core/errors.js';
import { DEFAULT_IMAGE } from '../core/job.js';
import { renderTimeline, Timeline, type Log } from '../core/log.js';
import { formatDuration } from '../core/units.js';
import { prepare } from '../stages/prepare.js';
import { requireJobResponseFile, requireVmName } from './env.js';
import type { Outcome } from './exit-code.js';
import { openDriverHost } from './host.js';
import { readJobResponse, type JobResponse } from './job-response.js';
import { driverLog } from './log.js';
import { findRunner } from './owner.js';
import { parsePrepareSettings, type PrepareSettings } from './settings.js';
import type { World } from './world.js';

/** How long after its job's own end a VM may live: after_script, artifacts and cleanup come behind the timeout. */
const EXPIRY_MARGIN_MS = 3_600_000;

/** prepare_exec: boots the VM of the job. It outlives this call and belongs to the Runner. */
export async function prepareStage(args: readonly string[], world: World): Promise<Outcome> {
  const settings = parsePrepareSettings(args);
  const name = requireVmName(world.env);
  const job = await readJobResponse(requireJobResponseFile(world.env));
  const image = chooseImage(job);
  const log = driverLog(world.stderr);
  warnOfReach(settings, log);
  const host = await openDriverHost(world, settings.provider);
  const timeline = new Timeline();
  const { cpus, memoryMiB, network, bootTimeoutMs } = settings;
  const request = {
    vm: { image, cpus, memoryMiB, network },
    name,
    owner: findRunner(host.processes, world.parentPid),
    expiresAt: Date.now() + job.timeoutMs + EXPIRY_MARGIN_MS,
    bootTimeoutMs,
    frontEnd: 'gitlab',
    job: labelOf(job),
  };
  await prepare(host, request, { log, timeline, signal: world.signal });
  const total = formatDuration(timeline.elapsedMs);
  log.info(`VM ${name} is ready after ${total} (${renderTimeline(timeline.spans, formatDuration)})`);
  return { kind: 'done' };
}

/** @throws image-unavailable for every image but the default one. */
function chooseImage(job: JobResponse): string {
  if (job.imageName === undefined || job.imageName === DEFAULT_IMAGE) return DEFAULT_IMAGE;
  throw new VmRunnerError('image-unavailable', 'this version of vm-runner boots only its default image', {
    subject: job.imageName,
    hint: `Leave out "image:" in .gitlab-ci.yml, or write "image: ${DEFAULT_IMAGE}".`,
  });
}

function warnOfReach({ provider, network }: PrepareSettings, log: Log): void {
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
