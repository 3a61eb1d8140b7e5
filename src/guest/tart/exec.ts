import { randomBytes } from 'node:crypto';
import { once } from 'node:events';

import { create, type MessageInitShape, type MessageShape } from '@bufbuild/protobuf';
import type { Client, ClientDuplexStream } from '@grpc/grpc-js';

import { abortReason } from '../../core/deadline.js';
import { VmRunnerError, type ErrorCode } from '../../core/errors.js';
import { callDuplex, messagesOf, roomIn } from '../call.js';
import type { ExecOptions, ProgramEnd } from '../exec.js';
import { Agent, ExecRequestSchema, type ExecResponse } from '../gen/tart_pb.js';
import { broken, feed } from '../stdin.js';
import { tartCommand } from './command.js';
import { MarkerFilter } from './marker.js';
import { tartError } from './status.js';

type TartCall = ClientDuplexStream<MessageShape<typeof ExecRequestSchema>, ExecResponse>;

/** What runs there, with a program that is no script: those are made files first. */
export interface TartExecOptions extends Pick<
  ExecOptions,
  'env' | 'clearEnv' | 'cwd' | 'stdin' | 'terminal' | 'onStdout' | 'onStderr' | 'signal' | 'timeoutMs'
> {
  readonly argv: readonly string[];
}

const SIGKILL = 9;

const CODE_OF_WORD: Readonly<Record<string, readonly [ErrorCode, string]>> = {
  'bad-cwd': ['guest-request-refused', 'cannot change to the directory in the guest'],
  'command-not-found': ['command-not-found', 'command not found in the guest'],
  'not-executable': ['command-not-executable', 'command cannot be run in the guest'],
};

/**
 * Runs a program through Tart's agent. It knows no signals and no time: a cancel or the end of its time ends the call, and
 * the agent then kills the program alone, not what it started.
 *
 * That a signal ended a program is told as exit code -1 without saying which; here that is SIGKILL.
 */
export async function tartExec(client: Client, options: TartExecOptions): Promise<ProgramEnd> {
  if (options.signal.aborted) throw abortReason(options.signal);
  const overdue = new AbortController();
  const timer =
    options.timeoutMs === undefined || options.timeoutMs === 0
      ? undefined
      : setTimeout(() => overdue.abort(), Math.min(options.timeoutMs, 2 ** 31 - 1));
  const marker = `vm-runner-${randomBytes(16).toString('hex')}`;
  const command = startMessage(options, marker);
  const call = callDuplex(client, Agent.method.exec);
  const messages: AsyncIterable<ExecResponse> = messagesOf<ExecResponse>(call);
  const ended = new AbortController();
  const stop = AbortSignal.any([options.signal, overdue.signal]);
  const cancel = (): void => call.cancel();
  stop.addEventListener('abort', cancel, { once: true });
  send(call, { case: 'command', value: command });
  options.terminal?.onResize(({ rows, columns }) => {
    if (!ended.signal.aborted) send(call, { case: 'terminalResize', value: { rows, cols: columns } });
  });
  const input = (data: Uint8Array): boolean => send(call, { case: 'standardInput', value: { data } });
  // Never awaited before the exit: once the program has closed its input, nobody reads what is sent.
  const feeding = feed(options.stdin, ended.signal, {
    send: input,
    room: () => roomIn(call),
    // One empty chunk: a half-close means nothing to the agent, and a second one breaks its reading.
    end: () => input(new Uint8Array()),
  });
  try {
    const stopped = once(stop, 'abort', { signal: ended.signal }).then(() => Promise.reject(abortReason(stop)));
    stopped.catch(() => undefined);
    return await Promise.race([readToExit(messages, options, marker), broken(feeding), stopped]);
  } catch (error) {
    if (options.signal.aborted) throw abortReason(options.signal);
    if (overdue.signal.aborted) return { code: 0, signal: SIGKILL, timedOut: true, usage: undefined };
    throw tartError('run a program in the guest', error);
  } finally {
    clearTimeout(timer);
    ended.abort();
    stop.removeEventListener('abort', cancel);
    call.cancel();
    await Promise.allSettled([feeding]);
  }
}

function startMessage(
  { argv, env = {}, clearEnv = false, cwd, stdin, terminal }: TartExecOptions,
  marker: string,
): Extract<MessageInitShape<typeof ExecRequestSchema>['type'], { case: 'command' }>['value'] {
  const variables = terminal === undefined ? env : { TERM: terminal.term, ...env };
  const { name, args } = tartCommand(argv, marker, { env: variables, clearEnv, cwd });
  const command = { name, args: [...args], interactive: stdin !== undefined };
  if (terminal === undefined) return command;
  const { rows, columns } = terminal.size;
  return { ...command, tty: true, terminalSize: { rows, cols: columns } };
}

function send(call: TartCall, type: MessageInitShape<typeof ExecRequestSchema>['type']): boolean {
  if (!call.writable) return true;
  return call.write(create(ExecRequestSchema, { type } as MessageInitShape<typeof ExecRequestSchema>));
}

async function readToExit(
  messages: AsyncIterable<ExecResponse>,
  options: TartExecOptions,
  marker: string,
): Promise<ProgramEnd> {
  // A terminal has one stream for both.
  const filter = new MarkerFilter(marker);
  const isFiltered = (stream: string): boolean =>
    stream === (options.terminal === undefined ? 'standardError' : 'standardOutput');
  const pass = async (stream: string, bytes: Uint8Array): Promise<void> => {
    if (bytes.length === 0) return;
    await (stream === 'standardError' ? options.onStderr(bytes) : options.onStdout(bytes));
  };
  for await (const { type } of messages) {
    switch (type.case) {
      case 'standardOutput':
      case 'standardError':
        await pass(type.case, isFiltered(type.case) ? filter.push(type.value.data) : type.value.data);
        break;
      case 'exit':
        await pass(options.terminal === undefined ? 'standardError' : 'standardOutput', filter.end());
        if (filter.word !== undefined) throw refusal(filter.word, options);
        return type.value.code < 0
          ? { code: 0, signal: SIGKILL, timedOut: false, usage: undefined }
          : { code: type.value.code, signal: 0, timedOut: false, usage: undefined };
      case undefined:
        break;
    }
  }
  throw new VmRunnerError('agent-protocol', 'agent ended the program without telling how it ended');
}

function refusal(word: string, { argv, cwd }: TartExecOptions): VmRunnerError {
  const [code, reason] = CODE_OF_WORD[word] ?? ['agent-protocol', 'script in the guest said something unknown'];
  const subject = word === 'bad-cwd' ? cwd : argv[0];
  return new VmRunnerError(code, reason, subject === undefined ? {} : { subject });
}
