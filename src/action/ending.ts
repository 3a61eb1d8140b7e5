import { toVmRunnerError, type VmRunnerError } from '../core/errors.js';
import { shellExitCode } from '../core/job.js';
import type { Log, Span } from '../core/log.js';
import { formatCount } from '../core/units.js';
import { exitCodeOf, reportError, reportExit } from './failure.js';
import type { OutputName } from './input-table.js';
import { sizeOf, type JobOutcome, type JobRequest } from './job.js';
import type { Runner } from './runner.js';
import { savePassed } from './state.js';
import { writeSummary } from './summary.js';

/** How a step ended, as far as it came. */
export interface Ending {
  /** `undefined` when the inputs or the host were wrong. */
  readonly job: JobRequest | undefined;
  /** `undefined` when the VM did not come up, was lost, or the step was cancelled. */
  readonly outcome: JobOutcome | undefined;
  readonly error: VmRunnerError | undefined;
  readonly spans: readonly Span[];
}

/** Hands the outputs to the workflow; those that there is nothing to say about are empty. */
export function writeOutputs(runner: Runner, ending: Ending): void {
  const { job, outcome, spans } = ending;
  const set = (name: OutputName, value: string): void => runner.setOutput(name, value);
  set('exit-code', exitCodeText(ending));
  set('vm-name', job?.prepare.name ?? '');
  set('boot-ms', outcome === undefined ? '' : String(bootMs(spans)));
  set('artifacts-path', job === undefined || job.inputs.artifacts.include.length === 0 ? '' : job.artifactsPath);
}

function exitCodeText({ outcome, error }: Ending): string {
  if (outcome?.status !== undefined) return String(shellExitCode(outcome.status));
  const code = error === undefined ? undefined : exitCodeOf(error);
  return code === undefined ? '' : String(code);
}

/** From the making of the VM to the moment when it knew who it is. Building an image is not part of it. */
export function bootMs(spans: readonly Span[]): number {
  const start = spans.find((span) => span.name === 'create')?.startMs ?? 0;
  const end = spans.find((span) => span.name === 'resume')?.endMs ?? start;
  return Math.round(end - start);
}

/** Writes the job summary when there was a VM. That it cannot be written fails no job. */
export async function summarize(runner: Runner, ending: Ending, log: Log): Promise<void> {
  const { outcome, error, spans } = ending;
  if (outcome === undefined) return;
  const { record, collected } = outcome;
  const artifacts = collected === undefined ? undefined : formatCount(collected.files, 'file');
  const exitCode = exitCodeText(ending) === '' ? `none: ${error?.reason ?? ''}` : exitCodeText(ending);
  try {
    await writeSummary(runner, { image: record.image, size: sizeOf(record), spans, exitCode, artifacts });
  } catch (failure) {
    log.info(`No job summary: ${toVmRunnerError(failure).reason}`);
  }
}

/** One annotation for what went wrong, or the word to post that nothing did. Returns whether the step passed. */
export function conclude(runner: Runner, { outcome, error }: Ending): boolean {
  const status = outcome?.status;
  if (status !== undefined && shellExitCode(status) !== 0) {
    reportExit(runner, status);
    return false;
  }
  if (error !== undefined) {
    reportError(runner, error);
    return false;
  }
  savePassed(runner);
  return true;
}
