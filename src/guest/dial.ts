import { once } from 'node:events';

import { Client, credentials, type ChannelOptions } from '@grpc/grpc-js';
import pRetry from 'p-retry';

import { abortReason } from '../core/deadline.js';
import type { Endpoint } from '../core/endpoint.js';
import { VmRunnerError } from '../core/errors.js';
import type { ProcessTable } from '../core/process-identity.js';
import { tryLock, type Lock } from '../store/lock.js';
import { ResetCredentials } from './reset.js';

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

/** How long one attempt waits for the answer to the reset. A port whose guest is still booting keeps what was written. */
const ANSWER_TIMEOUT_MS = 5000;
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

/** Connects to the agent of a VM. Returns when HTTP/2 is up. */
export async function dialAgent(endpoint: Endpoint, options: DialOptions): Promise<Connection> {
  const port = await choosePort(endpoint, options);
  let lastFailure: VmRunnerError | undefined;
  const channelCredentials =
    endpoint.kind === 'serial'
      ? new ResetCredentials(ANSWER_TIMEOUT_MS, (error) => (lastFailure = error))
      : credentials.createInsecure();
  const client = new Client(`unix:${port.path}`, channelCredentials, CHANNEL_OPTIONS);
  const close = async (): Promise<void> => {
    client.close();
    await port.lock?.release();
  };
  try {
    await ready(client, options.signal, () => lastFailure);
  } catch (error) {
    await close();
    throw error;
  }
  return { client, close };
}

/** Serial ports serve one client each: takes the first that nobody has, and waits while all are taken. */
async function choosePort(endpoint: Endpoint, options: DialOptions): Promise<{ path: string; lock: Lock | undefined }> {
  if (endpoint.kind === 'unix') return { path: endpoint.path, lock: undefined };
  const { paths } = endpoint;
  const takeOne = async (): Promise<{ path: string; lock: Lock }> => {
    for (const path of paths) {
      const lock = await tryLock(`${path}.lock`, options.processes);
      if (lock !== undefined) return { path, lock };
    }
    throw new VmRunnerError('store-busy', `all ${paths.length} ports of the agent are taken`);
  };
  try {
    return await pRetry(takeOne, {
      retries: Infinity,
      minTimeout: 20,
      maxTimeout: 500,
      signal: options.signal,
      shouldRetry: ({ error }) => error instanceof VmRunnerError && error.code === 'store-busy',
    });
  } catch (error) {
    throw options.signal.aborted ? abortReason(options.signal) : error;
  }
}

async function ready(client: Client, signal: AbortSignal, lastFailure: () => VmRunnerError | undefined): Promise<void> {
  const connected = new Promise<void>((resolve, reject) => {
    client.waitForReady(Infinity, (error) => (error === undefined ? resolve() : reject(error)));
  });
  // When the signal wins, closing the client settles this one with an error that nobody waits for.
  connected.catch(() => undefined);
  const listening = new AbortController();
  const aborted = signal.aborted ? Promise.resolve() : once(signal, 'abort', { signal: listening.signal });
  try {
    const won = await Promise.race([connected.then(() => 'connected'), aborted.then(() => 'aborted')]);
    if (won === 'connected') return;
  } finally {
    aborted.catch(() => undefined);
    listening.abort();
  }
  const reason = abortReason(signal);
  const failure = lastFailure();
  if (failure?.code === 'agent-protocol') throw failure;
  if (failure !== undefined && reason.cause === undefined) reason.cause = failure;
  throw reason;
}
