import { abortReason, Deadline, delay } from '../core/deadline.js';
import { VmRunnerError } from '../core/errors.js';
import { GuestAgent } from '../guest/agent.js';
import type { Host } from '../providers/provider.js';
import { boundConsole, readLastLines } from '../store/logs.js';
import type { VmRecord } from '../store/record.js';

/** How long a VM that is up may take to answer on a free port. */
const ATTACH_TIMEOUT_MS = 30_000;
const WATCH_INTERVAL_MS = 200;
const ENDING_MS = 1000;
const ENDING_POLL_MS = 10;
const CONSOLE_INTERVAL_MS = 5000;
const CONSOLE_LINES = 20;

/**
 * Connects to the agent of a VM, works with it, and lets go of it.
 *
 * While it works the VM is watched: when the VM dies, the error says so and shows the end of its console, instead of
 * whatever the broken connection made of it. `work` gets a signal that aborts then, or when the caller's aborts.
 *
 * @param connectError what to say when the agent does not answer in time
 */
export async function withAgent<T>(
  host: Pick<Host, 'store' | 'processes'>,
  record: VmRecord,
  signal: AbortSignal,
  work: (agent: GuestAgent, signal: AbortSignal) => Promise<T>,
  { timeoutMs = ATTACH_TIMEOUT_MS, connectError = () => attachError(record.name, timeoutMs) } = {},
): Promise<T> {
  using watch = watchVm(host, record);
  const either = AbortSignal.any([signal, watch.signal]);
  try {
    await using agent = await connect(host, record, either, timeoutMs, connectError);
    return await work(agent, either);
  } catch (error) {
    if (error instanceof VmRunnerError && error.code === 'agent-unreachable') await watch.lookClosely();
    if (watch.signal.aborted && !signal.aborted) {
      const reason = abortReason(watch.signal);
      await host.store.events.add('vm', 'died', record.name, { code: reason.code, reason: reason.reason });
      throw await withConsole(host, record, reason);
    }
    if (error instanceof VmRunnerError && ['boot-timeout', 'agent-unreachable'].includes(error.code)) {
      throw await withConsole(host, record, error);
    }
    throw error;
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

interface Watch extends Disposable {
  readonly signal: AbortSignal;
  /** After the connection broke: whether it was the VM that ended. */
  lookClosely(): Promise<void>;
}

function watchVm(host: Pick<Host, 'store' | 'processes'>, record: VmRecord): Watch {
  const died = new AbortController();
  const look = (): void => {
    if (record.vmm === undefined || host.processes.isAlive(record.vmm)) return;
    died.abort(new VmRunnerError('vm-died', 'VM ended by itself', { subject: record.name }));
  };
  const console = host.store.vms.paths(record.name).console;
  const bound = (): void => {
    // A console that cannot be shortened is no reason to end the job; the next reaper tells it.
    boundConsole(console).catch(() => undefined);
  };
  const timers = [setInterval(look, WATCH_INTERVAL_MS), setInterval(bound, CONSOLE_INTERVAL_MS)];
  look();
  const lookClosely = async (): Promise<void> => {
    // A process that ends closes its sockets first, and is gone only some moments later.
    const end = performance.now() + ENDING_MS;
    look();
    while (!died.signal.aborted && performance.now() < end) {
      await delay(ENDING_POLL_MS);
      look();
    }
  };
  return { signal: died.signal, lookClosely, [Symbol.dispose]: () => timers.forEach((timer) => clearInterval(timer)) };
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

function attachError(name: string, timeoutMs: number): VmRunnerError {
  return new VmRunnerError('agent-unreachable', `agent did not answer within ${timeoutMs / 1000} s`, {
    subject: name,
    hint: `Look at what the VM says with: vm-runner logs --console ${name}`,
  });
}
