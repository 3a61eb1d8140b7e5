import { abortReason, Deadline } from '../core/deadline.js';
import { VmRunnerError, type ErrorCode } from '../core/errors.js';
import { GuestAgent } from '../guest/agent.js';
import type { Log } from '../core/log.js';
import type { Host } from '../providers/provider.js';
import { readLastLines } from '../store/logs.js';
import type { VmRecord } from '../store/record.js';
import { WATCH_TIMES, watchVm, type WatchedHost, type WatchTimes } from './watch.js';

/** How long a VM that is up may take to answer on a free port. */
const ATTACH_TIMEOUT_MS = 30_000;
const CONSOLE_LINES = 20;

export interface AttachOptions {
  readonly timeoutMs?: number;
  /** What to say when the agent does not answer in time. */
  readonly connectError?: () => VmRunnerError;
  /** For tests. */
  readonly times?: Partial<WatchTimes>;
}

/**
 * Connects to the agent of a VM, works with it, and lets go of it.
 *
 * While it works the VM is watched: when it ends, or must not go on, the error says why and shows the end of its console,
 * instead of whatever the broken connection made of it. `work` gets a signal that aborts then, or when the caller's aborts. What
 * the reader of the job should know is told to the log.
 */
export async function withAgent<T>(
  host: WatchedHost,
  record: VmRecord,
  { log, signal }: { readonly log: Log; readonly signal: AbortSignal },
  work: (agent: GuestAgent, signal: AbortSignal) => Promise<T>,
  options: AttachOptions = {},
): Promise<T> {
  const { timeoutMs = ATTACH_TIMEOUT_MS, connectError = () => attachError(record.name, timeoutMs) } = options;
  if (record.state === 'pooled') throw guestless(record.name);
  using watch = watchVm(host, record, log, { ...WATCH_TIMES, ...options.times });
  const either = AbortSignal.any([signal, watch.signal]);
  try {
    await using agent = await connect(host, record, either, timeoutMs, connectError);
    watch.follow(agent);
    try {
      return await work(agent, either);
    } finally {
      if (!either.aborted) await watch.lookOnceMore();
    }
  } catch (error) {
    if (error instanceof VmRunnerError && error.code === 'agent-unreachable') await watch.lookClosely();
    if (watch.signal.aborted && !signal.aborted) {
      const reason = abortReason(watch.signal);
      await host.store.events.add('vm', 'died', record.name, { code: reason.code, reason: reason.reason });
      throw await explained(host, record, reason);
    }
    throw await explained(host, record, error);
  }
}

async function connect(
  host: Pick<Host, 'processes'>,
  record: VmRecord,
  signal: AbortSignal,
  timeoutMs: number,
  connectError: () => VmRunnerError,
): Promise<GuestAgent> {
  using deadline = new Deadline(timeoutMs, connectError, signal);
  return await GuestAgent.connect(record.endpoint, { processes: host.processes, signal: deadline.signal });
}

/** What the console of the VM says more about. */
const ON_CONSOLE: ReadonlySet<ErrorCode> = new Set([
  'boot-timeout',
  'agent-unreachable',
  'vm-died',
  'guest-ended',
  'guest-out-of-memory',
]);

async function explained(host: Pick<Host, 'store'>, record: VmRecord, error: unknown): Promise<unknown> {
  if (!(error instanceof VmRunnerError) || !ON_CONSOLE.has(error.code)) return error;
  return await withConsole(host, record, error);
}

/** The same error with what the VM's console, or the program that runs it, said last. */
async function withConsole(host: Pick<Host, 'store'>, record: VmRecord, error: VmRunnerError): Promise<VmRunnerError> {
  const paths = host.store.vms.paths(record.name);
  const consoleTail = await readLastLines(paths.console, CONSOLE_LINES);
  const vmmTail = await readLastLines(paths.vmmLog, CONSOLE_LINES);
  const detail = [
    ...(error.detail === undefined ? [] : [error.detail]),
    ...(consoleTail === '' ? ['The console of the VM is empty.'] : ['The console of the VM ends with:', consoleTail]),
    ...(vmmTail === '' ? [] : ['The program that runs the VM said:', vmmTail]),
  ].join('\n');
  return new VmRunnerError(error.code, error.reason, {
    detail,
    cause: error.cause ?? error,
    ...(error.subject === undefined ? {} : { subject: error.subject }),
    ...(error.hint === undefined ? {} : { hint: error.hint }),
  });
}

function guestless(name: string): VmRunnerError {
  return new VmRunnerError('invalid-input', 'VM waits in the pool: it has no guest yet', {
    subject: name,
    hint: 'It gets one, and another name, from the job that takes it.',
  });
}

function attachError(name: string, timeoutMs: number): VmRunnerError {
  return new VmRunnerError('agent-unreachable', `agent did not answer within ${timeoutMs / 1000} s`, {
    subject: name,
    hint: `Look at what the VM says with: vm-runner logs --console ${name}`,
  });
}
