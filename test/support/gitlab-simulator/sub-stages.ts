import type { Attempt } from './attempt.js';
import type { SimulatedJob } from './job.js';

/** The two contexts that a cancel can end: the whole build, or the user's script alone. */
export interface Cancellation {
  readonly build: AbortController;
  /** What `canceling` does now: it changes while the user's script runs. */
  graceful: () => void;
}

/** The user's script was cancelled, and what comes after it has run. */
export class ScriptCanceled extends Error {}

/** All calls of run_exec of a job, in the order of common/build.go (executeScript). */
export async function runSubStages(attempt: Attempt, job: SimulatedJob, cancellation: Cancellation): Promise<void> {
  const { signal } = cancellation.build;
  await attempt.run('prepare_script', signal);
  let failure = await failureIn(() => getSources(attempt, job, signal));
  failure ??= await failureIn(() => attempt.run('restore_cache', signal));
  if (failure === undefined) failure = await failureIn(() => runUserScripts(attempt, cancellation));
  // Only the first failure counts, but what belongs to a failed job still runs.
  const ended = failure === undefined ? undefined : 'on_failure';
  const archive = await failureIn(() =>
    attempt.run(ended === undefined ? 'archive_cache' : 'archive_cache_on_failure', signal),
  );
  const upload = await failureIn(() => attempt.run(`upload_artifacts_${ended ?? 'on_success'}`, signal));
  await failureIn(() => attempt.run('cleanup_file_variables', signal));
  const first = failure ?? archive ?? upload;
  if (first !== undefined) throw first;
}

/** Any failure is tried again, whatever its exit code; before the second attempt the worktree is cleared. */
async function getSources(attempt: Attempt, job: SimulatedJob, signal: AbortSignal): Promise<void> {
  const attempts = job.getSourcesAttempts ?? 1;
  for (let count = 1; ; count++) {
    const failure = await failureIn(() => attempt.run('get_sources', signal));
    if (failure === undefined) return;
    if (count >= attempts || signal.aborted) throw failure;
    if (count === 1) await attempt.run('clear_worktree', signal);
  }
}

async function runUserScripts(attempt: Attempt, cancellation: Cancellation): Promise<void> {
  const { build } = cancellation;
  const script = new AbortController();
  cancellation.graceful = () => script.abort('canceled');
  let failure = await failureIn(() => attempt.run('build_script', AbortSignal.any([build.signal, script.signal])));
  // From here on a graceful cancel ends a context that is over already.
  cancellation.graceful = () => undefined;
  if (script.signal.aborted && !build.signal.aborted) failure = new ScriptCanceled('job canceled');
  attempt.status = statusAfter(failure);
  await failureIn(() => attempt.run('after_script', build.signal));
  if (failure !== undefined) throw failure;
}

function statusAfter(failure: unknown): 'success' | 'failed' | 'canceled' {
  if (failure === undefined) return 'success';
  return failure instanceof ScriptCanceled ? 'canceled' : 'failed';
}

async function failureIn(work: () => Promise<void>): Promise<Error | undefined> {
  try {
    await work();
    return undefined;
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}
