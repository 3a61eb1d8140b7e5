import { Deadline } from '../core/deadline.js';
import { VmRunnerError } from '../core/errors.js';
import type { ExitStatus } from '../core/job.js';
import { formatDuration } from '../core/units.js';
import type { GuestAgent } from '../guest/agent.js';
import type { ExecOptions } from '../guest/exec.js';
import { journaled, type Journal } from './journal.js';

export interface RunRequest extends Omit<ExecOptions, 'signal'> {
  readonly signal: AbortSignal;
  /** Milliseconds after which the program is ended. Default: never. */
  readonly timeoutMs?: number | undefined;
  /** Default: nothing is written down. */
  readonly journal?: Journal | undefined;
}

/**
 * Runs one program or script of the job in the guest.
 * @throws timed-out when its time is over; the program is ended then.
 */
export async function run(agent: GuestAgent, { journal, ...request }: RunRequest): Promise<ExitStatus> {
  if (journal === undefined) return await runInTime(agent, request);
  return await journaled(journal, request.program, request, (output) => runInTime(agent, { ...request, ...output }));
}

async function runInTime(agent: GuestAgent, request: Omit<RunRequest, 'journal'>): Promise<ExitStatus> {
  const { timeoutMs = Infinity } = request;
  const overdue = (): VmRunnerError =>
    new VmRunnerError('timed-out', `program in the guest did not end within ${formatDuration(timeoutMs)}`, {
      hint: 'It was ended. Give it more time with timeout.',
    });
  using deadline = new Deadline(timeoutMs, overdue, request.signal);
  return await agent.exec({ ...request, signal: deadline.signal });
}
