import type { Client } from '@grpc/grpc-js';

import { abortReason, Deadline } from '../core/deadline.js';
import { VmRunnerError } from '../core/errors.js';
import { callDuplex, messagesOf } from './call.js';
import { SHORT_CALL_MS } from './deadlines.js';
import { AgentService } from './gen/vmrunner/agent/v1/agent_pb.js';
import type { ExecResponse } from './gen/vmrunner/agent/v1/exec_pb.js';
import { programStart, send, type StartOptions } from './program-start.js';
import { guestError } from './status.js';

export interface DetachOptions extends StartOptions {
  /** Ends the waiting for the start, not the program. */
  readonly signal?: AbortSignal;
}

/** Starts a program that belongs to nobody. Returns its process id. */
export async function detach(client: Client, options: DetachOptions): Promise<number> {
  const doing = 'start a program in the guest';
  const expired = (): VmRunnerError =>
    new VmRunnerError('agent-unreachable', `agent did not ${doing} within ${SHORT_CALL_MS / 1000} s`);
  using deadline = new Deadline(SHORT_CALL_MS, expired, options.signal);
  if (deadline.signal.aborted) throw abortReason(deadline.signal);
  const call = callDuplex(client, AgentService.method.exec);
  const cancel = (): void => call.cancel();
  deadline.signal.addEventListener('abort', cancel, { once: true });
  const messages: AsyncIterable<ExecResponse> = messagesOf<ExecResponse>(call);
  send(call, { case: 'start', value: { ...programStart(options), detach: true } });
  let pid: number | undefined;
  try {
    // To the end of the call: until then the program is not let go.
    for await (const { response } of messages) if (response.case === 'started') pid = response.value.pid;
  } catch (error) {
    if (deadline.signal.aborted) throw abortReason(deadline.signal);
    throw guestError(doing, error);
  } finally {
    deadline.signal.removeEventListener('abort', cancel);
    call.cancel();
  }
  if (pid === undefined) throw new VmRunnerError('agent-protocol', `agent did not say whether it could ${doing}`);
  return pid;
}
