import { toVmRunnerError } from '../core/errors.js';
import type { ExitStatus, Program } from '../core/job.js';
import type { Log } from '../core/log.js';
import type { Host } from '../providers/provider.js';
import { JobLog } from '../store/job-log.js';
import type { VmRecord } from '../store/record.js';

/** Where it is written down what a program of a VM does. */
export interface Journal {
  readonly host: Pick<Host, 'store'>;
  readonly record: VmRecord;
  readonly log: Pick<Log, 'warn'>;
  /** Whether it is one of the job's, whose output stays with its VM, or one that somebody runs beside. */
  readonly isJob: boolean;
}

export interface Output {
  readonly onStdout: (bytes: Uint8Array) => Promise<void> | void;
  readonly onStderr: (bytes: Uint8Array) => Promise<void> | void;
}

/** Runs a program, and writes down when it began, what it printed and how it ended. What cannot be written harms nothing. */
export async function journaled<T extends ExitStatus>(
  { host, record, log, isJob }: Journal,
  program: Program,
  output: Output,
  work: (output: Output) => Promise<T>,
): Promise<T> {
  const { events } = host.store;
  const kind = isJob ? 'job' : 'exec';
  const begin = performance.now();
  await events.add('vm', 'program-started', record.name, { kind, program: nameOf(program) }, log);
  const ended = (how: Readonly<Record<string, string | number>>): Promise<void> =>
    events.add('vm', 'program-ended', record.name, { kind, ...how, ms: Math.round(performance.now() - begin) }, log);
  try {
    const status = isJob ? await keptOutput({ host, record, log }, output, work) : await work(output);
    await ended(status.signal === 0 ? { code: status.code } : { signal: status.signal });
    return status;
  } catch (error) {
    await ended({ error: toVmRunnerError(error).code });
    throw error;
  }
}

/** Its arguments may hold secrets. */
function nameOf(program: Program): string {
  return program.kind === 'script' ? 'script' : (program.argv[0] ?? 'command of the image');
}

async function keptOutput<T>(
  { host, record, log }: Pick<Journal, 'host' | 'record' | 'log'>,
  { onStdout, onStderr }: Output,
  work: (output: Output) => Promise<T>,
): Promise<T> {
  await using kept = await openJobLog(host, record, log);
  if (kept === undefined) return await work({ onStdout, onStderr });
  let lost = false;
  const keep = async (bytes: Uint8Array): Promise<void> => {
    try {
      await kept.write(bytes);
    } catch (error) {
      if (!lost) log.warn(toVmRunnerError(error).message);
      lost = true;
    }
  };
  const both =
    (show: Output['onStdout']): Output['onStdout'] =>
    async (bytes) => {
      // In this order, so that the log has all that was seen, also when we are killed.
      await keep(bytes);
      await show(bytes);
    };
  return await work({ onStdout: both(onStdout), onStderr: both(onStderr) });
}

async function openJobLog(
  host: Pick<Host, 'store'>,
  { name }: VmRecord,
  log: Pick<Log, 'warn'>,
): Promise<JobLog | undefined> {
  try {
    return await JobLog.open(host.store.vms.paths(name));
  } catch (error) {
    log.warn(toVmRunnerError(error).message);
    return undefined;
  }
}
