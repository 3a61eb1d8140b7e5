import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import path from 'node:path';

import pRetry from 'p-retry';

import { abortReason } from '../core/deadline.js';
import type { Endpoint } from '../core/endpoint.js';
import { VmRunnerError } from '../core/errors.js';
import type { ProcessTable } from '../core/process-identity.js';
import { startPiped } from '../process/piped.js';
import { tryLock, type Lock } from '../store/lock.js';
import { diagnoseSocket } from './diagnose.js';
import type { Handshake } from './handshake.js';
import { resetPort } from './reset.js';
import { makeShortDirectory, shortSocketPath } from './socket-path.js';
import { openVsockPort } from './vsock.js';

/** The way to an agent: a unix socket to connect to, and what comes before HTTP/2 on it. */
export interface Route {
  readonly socket: string;
  readonly handshake: Handshake | undefined;
  /** Why nobody was reached, when the handshake never failed. */
  readonly diagnose: () => Promise<VmRunnerError | undefined>;
  readonly close: () => Promise<void>;
}

export interface RouteOptions {
  readonly processes: ProcessTable;
  readonly signal: AbortSignal;
}

/** How long one attempt waits for the answer to the reset. A port whose guest is still booting keeps what was written. */
const ANSWER_TIMEOUT_MS = 5000;

export async function openRoute(endpoint: Endpoint, options: RouteOptions): Promise<Route> {
  switch (endpoint.kind) {
    case 'unix':
      return await socketRoute(endpoint.path, undefined);
    case 'hybrid-vsock':
      return await socketRoute(endpoint.path, async (socket) => {
        await openVsockPort(socket, endpoint.port, ANSWER_TIMEOUT_MS);
        return socket;
      });
    case 'serial':
      return await serialRoute(endpoint.paths, options);
    case 'command':
      return await commandRoute(endpoint.argv);
  }
}

async function socketRoute(socket: string, handshake: Handshake | undefined): Promise<Route> {
  const short = await shortSocketPath(socket);
  return {
    socket: short.path,
    handshake,
    diagnose: () => diagnoseSocket(short.path, socket),
    close: short.release,
  };
}

/** Serial ports serve one client each: takes the first that nobody has, and waits while all are taken. */
async function serialRoute(paths: readonly string[], options: RouteOptions): Promise<Route> {
  const { port, lock } = await choosePort(paths, options);
  try {
    const route = await socketRoute(port, async (socket) => {
      await resetPort(socket, ANSWER_TIMEOUT_MS);
      return socket;
    });
    const close = async (): Promise<void> => {
      await route.close();
      await lock.release();
    };
    return { ...route, close };
  } catch (error) {
    await lock.release();
    throw error;
  }
}

async function choosePort(paths: readonly string[], options: RouteOptions): Promise<{ port: string; lock: Lock }> {
  const takeOne = async (): Promise<{ port: string; lock: Lock }> => {
    for (const port of paths) {
      const lock = await tryLock(`${port}.lock`, options.processes);
      if (lock !== undefined) return { port, lock };
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

/**
 * grpc-js has to connect to something before it asks for the stream: a socket of our own that leads nowhere. Each attempt
 * starts the program anew.
 */
async function commandRoute(argv: readonly string[]): Promise<Route> {
  const directory = await makeShortDirectory();
  const socket = path.join(directory, 's');
  const server = createServer((connection) => connection.on('error', () => undefined).resume());
  server.listen(socket);
  await once(server, 'listening');
  server.unref();
  let lastWords = (): string => '';
  const handshake: Handshake = async (nowhere) => {
    nowhere.destroy();
    const { stream, errorTail } = await startPiped(argv);
    lastWords = errorTail;
    return stream;
  };
  return {
    socket,
    handshake,
    diagnose: () => Promise.resolve(commandError(argv, lastWords())),
    close: async () => {
      server.close();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

function commandError(argv: readonly string[], lastWords: string): VmRunnerError {
  return new VmRunnerError('agent-unreachable', 'program does not lead to an agent', {
    subject: argv.join(' '),
    hint: lastWords === '' ? 'It said nothing: run it by hand.' : 'What it said stands below.',
    ...(lastWords === '' ? {} : { detail: lastWords }),
  });
}
