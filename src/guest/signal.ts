import type { Client } from '@grpc/grpc-js';

import { callUnary } from './call.js';
import { SHORT_CALL_MS } from './deadlines.js';
import { AgentService } from './gen/vmrunner/agent/v1/agent_pb.js';
import { guestError } from './status.js';

/** Sends a signal to the whole process tree of a program that runs still, a detached one too. */
export async function signalProgram(client: Client, pid: number, number: number): Promise<void> {
  try {
    await callUnary(client, AgentService.method.signal, { pid, number }, { timeoutMs: SHORT_CALL_MS });
  } catch (error) {
    throw guestError(`send signal ${number} to process ${pid} of the guest`, error);
  }
}
