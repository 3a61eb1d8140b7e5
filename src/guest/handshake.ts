import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';

import { CallCredentials, ChannelCredentials } from '@grpc/grpc-js';

import { VmRunnerError } from '../core/errors.js';

/** What happens on a connected socket before HTTP/2; returns the stream that HTTP/2 shall use, the socket itself or another. */
export type Handshake = (socket: Socket) => Promise<Duplex>;

type SecureSocket = Awaited<ReturnType<SecureConnector['connect']>>['socket'];
type SecureConnector = ReturnType<ChannelCredentials['_createSecureConnector']>;

/**
 * Runs a {@link Handshake} on grpc-js's own socket, between connect and HTTP/2: the place where TLS would be. The
 * underscored methods are grpc-js's extension point without a promise of stability, which is why its version is pinned.
 */
export class HandshakeCredentials extends ChannelCredentials {
  readonly #handshake: Handshake;
  readonly #shaking = new Set<Socket>();
  #isClosed = false;
  readonly #onFailure: (error: VmRunnerError) => void;

  /** @param onFailure told of every failed attempt; grpc-js itself keeps only a text */
  constructor(handshake: Handshake, onFailure: (error: VmRunnerError) => void) {
    super();
    this.#handshake = handshake;
    this.#onFailure = onFailure;
  }

  /**
   * Lets go of every port, and takes none any more. A channel of grpc-js that is closed while it waits for its next attempt
   * makes that attempt all the same, and one that is closed within a handshake keeps the socket: a port that serves one
   * client would be lost to all others.
   */
  close(): void {
    this.#isClosed = true;
    for (const socket of this.#shaking) socket.destroy();
  }

  override _isSecure(): boolean {
    return false;
  }

  override _equals(other: ChannelCredentials): boolean {
    return this === other;
  }

  override _createSecureConnector(
    _target: unknown,
    _options: unknown,
    callCredentials?: CallCredentials,
  ): SecureConnector {
    const credentials = callCredentials ?? CallCredentials.createEmpty();
    return {
      connect: async (socket) => {
        this.#shaking.add(socket);
        try {
          const stream: unknown = await this.#handshake(socket);
          if (this.#isClosed) {
            (stream as Duplex).destroy();
            throw closed();
          }
          // Typed as a socket for TLS; HTTP/2 takes any stream.
          return { socket: stream as SecureSocket, secure: false };
        } catch (error) {
          if (error instanceof VmRunnerError) this.#onFailure(error);
          throw error;
        } finally {
          this.#shaking.delete(socket);
        }
      },
      // Before it connects.
      waitForReady: () => (this.#isClosed ? Promise.reject(closed()) : Promise.resolve()),
      getCallCredentials: () => credentials,
      destroy: () => undefined,
    };
  }
}

function closed(): VmRunnerError {
  return new VmRunnerError('agent-unreachable', 'connection to the agent was closed');
}
