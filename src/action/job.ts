import type { Writable } from 'node:stream';

import { abortReason } from '../core/deadline.js';
import { toVmRunnerError, type VmRunnerError } from '../core/errors.js';
import type { ExitStatus } from '../core/job.js';
import { renderTimeline, type Log, type Timeline } from '../core/log.js';
import { formatCount, formatDuration, formatSize } from '../core/units.js';
import type { GuestAgent } from '../guest/agent.js';
import type { Host } from '../providers/provider.js';
import { withAgent } from '../stages/attach.js';
import { collect, type CollectResult } from '../stages/collect.js';
import type { Journal } from '../stages/journal.js';
import { jobImage } from '../stages/job-image.js';
import type { VmOrder } from '../stages/order.js';
import { prepare, type PrepareRequest } from '../stages/prepare.js';
import type { VmRecord } from '../store/record.js';
import { selectArtifacts } from './artifacts.js';
import { GuestOutput } from './guest-output.js';
import type { ActionInputs } from './inputs.js';
import { runScript } from './script.js';

export interface JobRequest {
  readonly inputs: ActionInputs;
  /** What the VM is made of; `prepare` has it, too, but for an image that is prepared first. */
  readonly order: VmOrder;
  readonly prepare: PrepareRequest;
  /** Where artifacts go. */
  readonly artifactsPath: string;
  /** A directory of this job on the host. */
  readonly directory: string;
}

export interface JobContext {
  readonly log: Log;
  readonly timeline: Timeline;
  readonly signal: AbortSignal;
  /** Where the guest's output goes. */
  readonly stdout: Writable;
}

export interface JobOutcome {
  readonly record: VmRecord;
  /** `undefined` when the script did not run to its end: then there is an error. */
  readonly status: ExitStatus | undefined;
  readonly error: VmRunnerError | undefined;
  readonly collected: CollectResult | undefined;
}

/** Where the script starts without a workspace when there is no image that says it. */
const DEFAULT_DIRECTORY = '/root';

/**
 * One job in one VM, from nothing to its artifacts. The VM stays up: later steps may use it until post takes it away.
 * @throws when the VM did not come up, was lost, or the step was cancelled; how the script itself ended is in the outcome.
 */
export async function runJob(host: Host, request: JobRequest, context: JobContext): Promise<JobOutcome> {
  const { inputs } = request;
  const { log, timeline } = context;
  warnAboutReach(host, request.order, log);
  const record = await log.section(`Starting VM ${request.prepare.name}`, async () => {
    const vm = await jobImage(host, request.order, { ...context, frontEnd: request.prepare.frontEnd });
    const made = await prepare(host, { ...request.prepare, vm }, context);
    log.info(`${sizeOf(made)}: ${renderTimeline(timeline.spans, formatDuration)}`);
    return made;
  });
  return await withAgent(host, record, context, async (agent, watched) => {
    const ended = await attempt(async () => {
      await putWorkspace(agent, inputs.workspace, context, record, watched);
      return await runInGuest(agent, request, context, { host, record, log, isJob: true }, watched);
    });
    // A lost VM or a cancel is the end; a script that failed, or took too long, has artifacts all the same.
    if (watched.aborted) throw abortReason(watched);
    if (ended.error?.code === 'agent-unreachable') throw ended.error;
    const brought = await attempt(() =>
      timeline.measure('artifacts', () => bringHome(agent, request, record, log, watched)),
    );
    if (ended.error !== undefined && brought.error !== undefined) log.warn(`No artifacts: ${brought.error.message}`);
    return { record, status: ended.value, error: ended.error ?? brought.error, collected: brought.value };
  });
}

function warnAboutReach(host: Host, { vm }: VmOrder, log: Log): void {
  if (!host.provider.bootsImages) {
    log.warn(`The provider ${host.provider.name} makes no VM: the script runs on this runner itself.`);
  } else if (vm.network === 'open') {
    log.warn('The guest can reach this host and its network: run only what you trust, or give network: none.');
  }
}

/** `2 CPUs, 2 GiB`. */
export function sizeOf({ cpus, memoryMiB }: VmRecord): string {
  return `${formatCount(cpus, 'CPU')}, ${formatSize(memoryMiB * 2 ** 20)}`;
}

async function putWorkspace(
  agent: GuestAgent,
  workspace: string | undefined,
  { log, timeline }: JobContext,
  { user }: VmRecord,
  signal: AbortSignal,
): Promise<void> {
  if (workspace === undefined) return;
  await timeline.measure('workspace', () =>
    agent.putTree(workspace, workspace, {
      signal,
      owner: user,
      onSkipped: (name) => log.warn(`left out ${name}: its name is not UTF-8`),
    }),
  );
  log.info(`The workspace is in the VM: ${workspace}`);
}

async function runInGuest(
  agent: GuestAgent,
  { inputs, directory }: JobRequest,
  { timeline, stdout }: JobContext,
  journal: Journal,
  signal: AbortSignal,
): Promise<ExitStatus> {
  const { script, shell, env, timeoutMs } = inputs;
  const cwd = directoryOf(inputs, journal.record);
  using output = new GuestOutput(stdout);
  const show = (bytes: Uint8Array): Promise<void> => output.write(bytes);
  const request = { script, shell, directory, cwd, timeoutMs, signal, journal, onStdout: show, onStderr: show };
  return await timeline.measure('run', () => runScript(agent, { ...request, env: { CI: 'true', ...env } }));
}

async function bringHome(
  agent: GuestAgent,
  { inputs, artifactsPath }: JobRequest,
  record: VmRecord,
  log: Log,
  signal: AbortSignal,
): Promise<CollectResult | undefined> {
  const { artifacts } = inputs;
  if (artifacts.include.length === 0) return undefined;
  const workingDirectory = directoryOf(inputs, record);
  const selections = selectArtifacts(artifacts, workingDirectory, artifactsPath);
  const collected = await collect(agent, selections, workingDirectory, { log, signal });
  if (collected.unmatched.length > 0) log.warn(`Nothing in the VM matches: ${collected.unmatched.join(', ')}`);
  return collected;
}

function directoryOf({ workspace }: ActionInputs, { workingDirectory }: VmRecord): string {
  return workspace ?? workingDirectory ?? DEFAULT_DIRECTORY;
}

interface Attempt<T> {
  readonly value: T | undefined;
  readonly error: VmRunnerError | undefined;
}

async function attempt<T>(work: () => Promise<T>): Promise<Attempt<T>> {
  try {
    return { value: await work(), error: undefined };
  } catch (error) {
    return { value: undefined, error: toVmRunnerError(error) };
  }
}
