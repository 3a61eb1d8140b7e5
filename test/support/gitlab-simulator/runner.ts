import { mkdtemp, rm } from 'node:fs/promises';
import path from 'node:path';

import { Attempt } from './attempt.js';
import type { DriverCall } from './driver-call.js';
import { BuildFailure } from './failure.js';
import type { CancelStatus, JobResult, RunnerSettings, SimulatedJob } from './job.js';
import { runSubStages, ScriptCanceled, type Cancellation } from './sub-stages.js';
import { Trace } from './trace.js';

/** A job under way. */
export interface RunningJob {
  readonly trace: Trace;
  /** The driver calls that have ended, in order. */
  readonly calls: readonly DriverCall[];
  readonly result: Promise<JobResult>;
  /** What a click on "Cancel" does, once the Runner has noticed. */
  readonly cancel: (status: CancelStatus) => void;
}

const PREPARE_ATTEMPTS = 3;

/**
 * Runs a job as GitLab Runner 19 does with the custom executor, without GitLab: config, prepare (three attempts), the
 * sub-stages, cleanup. Written from what is known of the Runner's behaviour; the same cases run through the real one in
 * test/gitlab/real-runner.test.ts.
 */
export function startJob(job: SimulatedJob, settings: RunnerSettings): RunningJob {
  const trace = new Trace();
  const calls: DriverCall[] = [];
  const build = new AbortController();
  const cancellation: Cancellation = { build, graceful: () => build.abort('canceled') };
  const timer = setTimeout(() => build.abort('timeout'), (job.timeout ?? 3600) * 1000);
  const result = runJob(job, settings, { trace, calls, cancellation }).finally(() => clearTimeout(timer));
  const cancel = (status: CancelStatus): void => {
    if (status === 'canceled') build.abort('canceled');
    else cancellation.graceful();
  };
  return { trace, calls, result, cancel };
}

interface Context {
  readonly trace: Trace;
  readonly calls: DriverCall[];
  readonly cancellation: Cancellation;
}

async function runJob(job: SimulatedJob, settings: RunnerSettings, context: Context): Promise<JobResult> {
  const { trace, cancellation } = context;
  let failure: unknown;
  let attempt: Attempt | undefined;
  try {
    attempt = await prepareAttempts(job, settings, context);
    await runSubStages(attempt, job, cancellation);
  } catch (error) {
    failure = error;
  }
  if (attempt !== undefined) {
    // So the real Runner tells cleanup when the job was cancelled or overdue as a whole.
    if (cancellation.build.signal.aborted) attempt.status = 'failed';
    await endAttempt(attempt);
  }
  const result = resultOf(failure, attempt === undefined, cancellation);
  trace.line(result.state === 'success' ? 'Job succeeded' : `ERROR: Job failed: ${String(failure)}`);
  return result;
}

async function prepareAttempts(job: SimulatedJob, settings: RunnerSettings, context: Context): Promise<Attempt> {
  const { trace, calls, cancellation } = context;
  const { signal } = cancellation.build;
  let failure: unknown;
  for (let count = 0; count < PREPARE_ATTEMPTS; count++) {
    const directory = await mkdtemp(path.join(settings.directory, 'custom-executor'));
    const attempt = new Attempt({ job, settings, directory, trace, calls });
    try {
      await attempt.prepare(signal);
      return attempt;
    } catch (error) {
      failure = error;
    }
    await endAttempt(attempt);
    if (failure instanceof BuildFailure || signal.aborted) throw failure;
    trace.line(`ERROR: Preparation failed: ${String(failure)}`);
    trace.line('Will be retried in 3s ...');
    await new Promise((resolve) => setTimeout(resolve, settings.retryIntervalMs ?? 3000));
  }
  throw failure;
}

async function endAttempt(attempt: Attempt): Promise<void> {
  await attempt.cleanup();
  await rm(attempt.directory, { recursive: true, force: true });
}

/** @param inPrepare there a driver that calls its own cancel a build failure is believed */
function resultOf(failure: unknown, inPrepare: boolean, { build }: Cancellation): JobResult {
  const { aborted } = build.signal;
  if (failure instanceof BuildFailure && (inPrepare || !aborted)) {
    return { state: 'failed', failureReason: 'script_failure', exitCode: failure.exitCode };
  }
  if (aborted)
    return {
      state: 'failed',
      failureReason: build.signal.reason === 'timeout' ? 'job_execution_timeout' : 'job_canceled',
    };
  if (failure === undefined) return { state: 'success' };
  if (failure instanceof ScriptCanceled) return { state: 'failed', failureReason: 'job_canceled' };
  return { state: 'failed', failureReason: 'runner_system_failure' };
}
