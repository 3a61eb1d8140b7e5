import { status } from '@grpc/grpc-js';

import { abortReason } from '../core/deadline.js';
import type { Endpoint } from '../core/endpoint.js';
import { dialAgent, type Connection, type DialOptions } from './dial.js';
import { NativeAgent } from './native.js';
import { statusOf } from './status.js';
import type { GuestAgent as Surface } from './surface.js';
import { info } from './system.js';
import { TartAgent } from './tart/agent.js';

export type { Identity } from './system.js';

export interface ConnectOptions extends DialOptions {
  /** Speaks to the guest as if it had Tart's agent alone. For tests. */
  readonly onlyTart?: boolean;
}

/** The agent of one VM: everything that vm-runner does in a guest. */
export type GuestAgent = Surface;

export const GuestAgent = {
  /** Connects, and returns when the agent has said who it is. */
  async connect(endpoint: Endpoint, options: ConnectOptions): Promise<GuestAgent> {
    const connection = await dialAgent(endpoint, options);
    try {
      return await agentOn(connection, options);
    } catch (error) {
      await connection.close();
      throw options.signal.aborted ? abortReason(options.signal) : error;
    }
  },
};

async function agentOn(connection: Connection, options: ConnectOptions): Promise<GuestAgent> {
  if (options.onlyTart === true) return new TartAgent(connection);
  try {
    return new NativeAgent(connection, await info(connection.client, options.signal));
  } catch (error) {
    if (statusOf(error) === status.UNIMPLEMENTED) return new TartAgent(connection);
    throw error;
  }
}
