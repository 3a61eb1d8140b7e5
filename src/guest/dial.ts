import { once } from 'node:events';

import { Client, type ChannelOptions } from '@grpc/grpc-js';

import { abortReason } from '../core/deadline.js';
import type { Endpoint } from '../core/endpoint.js';
import { VmRunnerError, type ErrorCode } from '../core/errors.js';
import type { ProcessTable } from '../core/process-identity.js';
import { HandshakeCredentials, type Handshake } from './handshake.js';
import { openRoute, type Route } from './route.js';

export interface DialOptions {
  readonly processes: ProcessTable;
  /** Ends the dialling; its reason becomes the error, with what was seen last as the cause. */
  readonly signal: AbortSignal;
}

/** An open channel to an agent, and the port that it holds. */
export interface Connection {
  readonly client: Client;
  readonly close: () => Promise<void>;
}

const WINDOW_BYTES = 2 ** 20;

const CHANNEL_OPTIONS: ChannelOptions = {
  // A proxy, name service or retry policy of the host has no say on the way to a guest.
  'grpc.enable_http_proxy': 0,
  'grpc.service_config_disable_resolution': 1,
  'grpc.enable_retries': 0,
  'grpc-node.flow_control_window': WINDOW_BYTES,
  'grpc.max_receive_message_length': 8 * 2 ** 20,
  // After a failed reset the port must be left alone long enough for the guest to see the hang-up (proto/CHANNEL.md).
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.min_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 1000,
  // Two endpoints never share a connection, also not two of the same path one after the other.
  'grpc.use_local_subchannel_pool': 1,
};

/** What no further attempt can mend. */
const FINAL: ReadonlySet<ErrorCode> = new Set(['agent-protocol', 'host-tool-missing', 'host-tool-failed']);

/** Connects to the agent of a VM. Returns when HTTP/2 is up. */
export async function dialAgent(endpoint: Endpoint, options: DialOptions): Promise<Connection> {
  const route = await openRoute(endpoint, options);
  let lastFailure: VmRunnerError | undefined;
  const final = new AbortController();
  const onFailure = (error: VmRunnerError): void => {
    lastFailure = error;
    if (FINAL.has(error.code)) final.abort(error);
  };
  const handshake: Handshake = route.handshake ?? ((socket) => Promise.resolve(socket));
  const channelCredentials = new HandshakeCredentials(handshake, onFailure);
  const client = new Client(`unix:${route.socket}`, channelCredentials, CHANNEL_OPTIONS);
  const close = async (): Promise<void> => {
    client.close();
    channelCredentials.close();
    await route.close();
  };
  try {
    const won = await ready(client, AbortSignal.any([options.signal, final.signal]));
    if (won === 'aborted') {
      if (final.signal.aborted) throw abortReason(final.signal);
      throw await explained(abortReason(options.signal), route, lastFailure);
    }
  } catch (error) {
    await close();
    throw error;
  }
  return { client, close };
}

async function ready(client: Client, signal: AbortSignal): Promise<'connected' | 'aborted'> {
  const connected = new Promise<void>((resolve, reject) => {
    client.waitForReady(Infinity, (error) => (error === undefined ? resolve() : reject(error)));
  });
  // When the signal wins, closing the client settles this one with an error that nobody waits for.
  connected.catch(() => undefined);
  const listening = new AbortController();
  const aborted = signal.aborted ? Promise.resolve() : once(signal, 'abort', { signal: listening.signal });
  try {
    return await Promise.race([connected.then(() => 'connected' as const), aborted.then(() => 'aborted' as const)]);
  } finally {
    aborted.catch(() => undefined);
    listening.abort();
  }
}

/** The reason why the dialling ended, with what stood in the way. */
async function explained(
  reason: VmRunnerError,
  route: Route,
  lastFailure: VmRunnerError | undefined,
): Promise<VmRunnerError> {
  // Who cancels does not ask why.
  if (reason.code === 'cancelled') {
    if (lastFailure !== undefined && reason.cause === undefined) reason.cause = lastFailure;
    return reason;
  }
  const failure = lastFailure ?? (await route.diagnose());
  if (failure === undefined) return reason;
  const hints = [failure.hint === undefined ? undefined : failure.message, reason.hint];
  const hint = hints.filter((text) => text !== undefined).join(' ');
  const detail = reason.detail ?? failure.detail;
  return new VmRunnerError(reason.code, reason.reason, {
    ...(reason.subject === undefined ? {} : { subject: reason.subject }),
    ...(detail === undefined ? {} : { detail }),
    ...(hint === '' ? {} : { hint }),
    cause: reason.cause ?? failure,
  });
}
