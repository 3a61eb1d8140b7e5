import { once } from 'node:events';

import { create, type MessageInitShape, type MessageShape } from '@bufbuild/protobuf';
import type { Client, ClientDuplexStream } from '@grpc/grpc-js';

import { abortReason } from '../core/deadline.js';
import { VmRunnerError } from '../core/errors.js';
import type { ExitStatus, Program } from '../core/job.js';
import { callDuplex, messagesOf } from './call.js';
import { AgentService } from './gen/vmrunner/agent/v1/agent_pb.js';
import { ExecRequestSchema, type ExecResponse } from './gen/vmrunner/agent/v1/exec_pb.js';
import { Root } from './gen/vmrunner/agent/v1/root_pb.js';
import { guestError } from './status.js';

type ExecRequest = MessageShape<typeof ExecRequestSchema>;
type ExecCall = ClientDuplexStream<ExecRequest, ExecResponse>;

export interface TerminalSize {
  readonly rows: number;
  readonly columns: number;
}

export interface ExecOptions {
  readonly program: Program;
  readonly env?: Readonly<Record<string, string>>;
  /** Absolute path in the guest. Default: the user's home. */
  readonly cwd?: string | undefined;
  /** `name`, `uid`, `name:group` or `uid:gid`. Default: root. */
  readonly user?: string | undefined;
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
  /** Milliseconds between SIGTERM and SIGKILL. Default: 2000. */
  readonly graceMs?: number;
}

const SIGTERM = 15;
const SIGKILL = 9;
/** How long the agent has to say that a killed program has ended, before the stream is given up. */
const KILLED_TIMEOUT_MS = 2000;
const DEFAULT_GRACE_MS = 2000;

/** Runs a program in the guest to its end. */
export async function exec(client: Client, options: ExecOptions): Promise<ExitStatus> {
  if (options.signal.aborted) throw abortReason(options.signal);
  const call = callDuplex(client, AgentService.method.exec);
  const ended = new AbortController();
  const messages: AsyncIterable<ExecResponse> = messagesOf<ExecResponse>(call);
  send(call, { case: 'start', value: startMessage(options) });
  options.terminal?.onResize((size) => {
    if (!ended.signal.aborted) send(call, { case: 'resize', value: size });
  });
  const stopping = stopOnAbort(call, options, ended.signal);
  const feeding = feed(call, options.stdin, ended.signal);
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

function startMessage(
  options: ExecOptions,
): Extract<MessageInitShape<typeof ExecRequestSchema>['request'], { case: 'start' }>['value'] {
  const { program, terminal } = options;
  return {
    root: Root.IMAGE,
    program:
      program.kind === 'argv'
        ? { case: 'argv', value: { values: [...program.argv] } }
        : { case: 'script', value: { content: program.content, args: [...program.args] } },
    env: { ...options.env },
    cwd: options.cwd ?? '',
    user: options.user ?? '',
    stdin: options.stdin !== undefined,
    graceMs: options.graceMs ?? DEFAULT_GRACE_MS,
    ...(terminal === undefined ? {} : { terminal: { size: terminal.size, term: terminal.term } }),
  };
}

function send(call: ExecCall, request: MessageInitShape<typeof ExecRequestSchema>['request']): boolean {
  if (!call.writable) return true;
  return call.write(create(ExecRequestSchema, { request } as MessageInitShape<typeof ExecRequestSchema>));
}

async function readToExit(messages: AsyncIterable<ExecResponse>, options: ExecOptions): Promise<ExitStatus> {
  for await (const { response } of messages) {
    switch (response.case) {
      case 'stdout':
        await options.onStdout(response.value);
        break;
      case 'stderr':
        await options.onStderr(response.value);
        break;
      case 'exit':
        return { code: response.value.code, signal: response.value.signal };
      case 'started':
      case undefined:
        break;
    }
  }
  throw new VmRunnerError('agent-protocol', 'agent ended the program without telling how it ended');
}

/** Hands standard input over as fast as the program takes it. The program may end, or close it, at any time. */
async function feed(call: ExecCall, stdin: AsyncIterable<Uint8Array> | undefined, ended: AbortSignal): Promise<void> {
  if (stdin === undefined) return;
  const iterator = stdin[Symbol.asyncIterator]();
  const over = once(ended, 'abort').then(() => undefined);
  for (;;) {
    const next = await Promise.race([iterator.next(), over]);
    if (next === undefined) return;
    if (next.done === true) break;
    // An empty chunk means nothing on this wire, and everything on others.
    if (next.value.length === 0) continue;
    if (!send(call, { case: 'stdin', value: next.value })) await Promise.race([once(call, 'drain'), over]);
  }
  send(call, { case: 'stdinEnd', value: {} });
}

/** Never settles unless standard input cannot be read: a program that got half of it must not end well. */
async function broken(feeding: Promise<void>): Promise<never> {
  try {
    await feeding;
  } catch (cause) {
    const text = cause instanceof Error ? cause.message : String(cause);
    throw new VmRunnerError('invalid-input', `cannot read standard input: ${text}`, { cause });
  }
  return new Promise<never>(() => undefined);
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
