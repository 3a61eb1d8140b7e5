import type { MessageInitShape } from '@bufbuild/protobuf';
import type { Client } from '@grpc/grpc-js';

import { abortReason } from '../core/deadline.js';
import { VmRunnerError } from '../core/errors.js';
import type { ExitStatus } from '../core/job.js';
import { callDuplex, messagesOf, roomIn } from './call.js';
import { AgentService } from './gen/vmrunner/agent/v1/agent_pb.js';
import type { ExecExit, ExecResponse, ExecStartSchema } from './gen/vmrunner/agent/v1/exec_pb.js';
import { DEFAULT_GRACE_MS, programStart, send, type ExecCall, type StartOptions } from './program-start.js';
import { guestError } from './status.js';
import { broken, feed } from './stdin.js';

export interface TerminalSize {
  readonly rows: number;
  readonly columns: number;
}

/** What the program and the children that it waited for have used. */
export interface ResourceUsage {
  readonly userMicros: number;
  readonly systemMicros: number;
  /** The largest resident memory of any one of these processes. */
  readonly peakMemoryBytes: number;
}

export interface ProgramEnd extends ExitStatus {
  /** Whether it was ended because its time was over; code and signal still say how. */
  readonly timedOut: boolean;
  /** `undefined` when the agent does not tell. */
  readonly usage: ResourceUsage | undefined;
}

export interface ExecOptions extends StartOptions {
  /** What the program reads; ends with the iterable. Default: end of file. */
  readonly stdin?: AsyncIterable<Uint8Array> | undefined;
  /** Gives the program a terminal; its output then comes as standard output alone. */
  readonly terminal?: {
    readonly size: TerminalSize;
    readonly term: string;
    readonly onResize: (listener: (size: TerminalSize) => void) => void;
  };
  /** Bytes as they come. While it has not resolved no more are read, and the program is stopped in the end. */
  readonly onStdout: (bytes: Uint8Array) => Promise<void> | void;
  readonly onStderr: (bytes: Uint8Array) => Promise<void> | void;
  /** Ends the process tree: SIGTERM, then SIGKILL. The call then throws the signal's reason. */
  readonly signal: AbortSignal;
}

const SIGTERM = 15;
const SIGKILL = 9;
/** How long the agent has to say that a killed program has ended, before the stream is given up. */
const KILLED_TIMEOUT_MS = 2000;

/** Runs a program in the guest to its end. */
export async function exec(client: Client, options: ExecOptions): Promise<ProgramEnd> {
  if (options.signal.aborted) throw abortReason(options.signal);
  const call = callDuplex(client, AgentService.method.exec);
  const ended = new AbortController();
  const messages: AsyncIterable<ExecResponse> = messagesOf<ExecResponse>(call);
  send(call, { case: 'start', value: foregroundStart(options) });
  options.terminal?.onResize((size) => {
    if (!ended.signal.aborted) send(call, { case: 'resize', value: size });
  });
  const stopping = stopOnAbort(call, options, ended.signal);
  const feeding = feed(options.stdin, ended.signal, {
    send: (value) => send(call, { case: 'stdin', value }),
    room: () => roomIn(call),
    end: () => send(call, { case: 'stdinEnd', value: {} }),
  });
  try {
    // Who takes the output may be stuck for ever; a cancel must get through all the same.
    const exit = await Promise.race([readToExit(messages, options), gaveUp(stopping), broken(feeding)]);
    if (options.signal.aborted) throw abortReason(options.signal);
    return exit;
  } catch (error) {
    if (options.signal.aborted) throw abortReason(options.signal);
    throw guestError('run a program in the guest', error);
  } finally {
    ended.abort();
    call.cancel();
    await Promise.allSettled([stopping, feeding]);
  }
}

function foregroundStart(options: ExecOptions): MessageInitShape<typeof ExecStartSchema> {
  const { stdin, terminal } = options;
  const start = { ...programStart(options), stdin: stdin !== undefined };
  return terminal === undefined ? start : { ...start, terminal: { size: terminal.size, term: terminal.term } };
}

async function readToExit(messages: AsyncIterable<ExecResponse>, options: ExecOptions): Promise<ProgramEnd> {
  for await (const { response } of messages) {
    switch (response.case) {
      case 'stdout':
        await options.onStdout(response.value);
        break;
      case 'stderr':
        await options.onStderr(response.value);
        break;
      case 'exit':
        return programEnd(response.value);
      case 'started':
      case undefined:
        break;
    }
  }
  throw new VmRunnerError('agent-protocol', 'agent ended the program without telling how it ended');
}

function programEnd({ code, signal, timedOut, usage }: ExecExit): ProgramEnd {
  if (usage === undefined) return { code, signal, timedOut, usage };
  const { userMicros, systemMicros, peakMemoryBytes } = usage;
  return {
    code,
    signal,
    timedOut,
    usage: {
      userMicros: Number(userMicros),
      systemMicros: Number(systemMicros),
      peakMemoryBytes: Number(peakMemoryBytes),
    },
  };
}

/** Never settles unless the stream was given up. */
async function gaveUp(stopping: Promise<'ended' | 'gave up'>): Promise<never> {
  if ((await stopping) === 'ended') return new Promise<never>(() => undefined);
  throw new VmRunnerError('cancelled', 'gave up waiting for the program to end');
}

async function stopOnAbort(call: ExecCall, options: ExecOptions, ended: AbortSignal): Promise<'ended' | 'gave up'> {
  const aborted = new Promise<boolean>((resolve) => {
    options.signal.addEventListener('abort', () => resolve(true), { once: true, signal: ended });
    ended.addEventListener('abort', () => resolve(false), { once: true });
  });
  if (!(await aborted)) return 'ended';
  send(call, { case: 'signal', value: { number: SIGTERM } });
  if (await happens(ended, options.graceMs ?? DEFAULT_GRACE_MS)) return 'ended';
  send(call, { case: 'signal', value: { number: SIGKILL } });
  if (await happens(ended, KILLED_TIMEOUT_MS)) return 'ended';
  call.cancel();
  return 'gave up';
}

/** Whether the signal aborts within the time. */
function happens(signal: AbortSignal, milliseconds: number): Promise<boolean> {
  return new Promise((resolve) => {
    if (signal.aborted) {
      resolve(true);
      return;
    }
    const onAbort = (): void => {
      clearTimeout(timer);
      resolve(true);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', onAbort);
      resolve(false);
    }, milliseconds);
    signal.addEventListener('abort', onAbort, { once: true });
  });
}
