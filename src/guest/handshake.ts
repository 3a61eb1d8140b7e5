import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';

import { CallCredentials, ChannelCredentials } from '@grpc/grpc-js';

import { VmRunnerError } from '../core/errors.js';

/** What happens on a connected socket before HTTP/2; returns the stream that HTTP/2 shall use, the socket itself or another. */
export type Handshake = (socket: Socket) => Promise<Duplex>;

type SecureConnector = ReturnType<ChannelCredentials['_createSecureConnector']>;

/**
 * Runs a {@link Handshake} on grpc-js's own socket, between connect and HTTP/2: the place where TLS would be. The
 * underscored methods are grpc-js's extension point without a promise of stability, which is why its version is pinned.
 */
export class HandshakeCredentials extends ChannelCredentials {
  readonly #handshake: Handshake;
  readonly #onFailure: (error: VmRunnerError) => void;

  /** @param onFailure told of every failed attempt; grpc-js itself keeps only a text */
  constructor(handshake: Handshake, onFailure: (error: VmRunnerError) => void) {
    super();
    this.#handshake = handshake;
    this.#onFailure = onFailure;
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
        try {
          // Typed as a socket for TLS; HTTP/2 takes any stream.
          return { socket: (await this.#handshake(socket)) as Socket, secure: false };
        } catch (error) {
          if (error instanceof VmRunnerError) this.#onFailure(error);
          throw error;
        }
      },
      waitForReady: () => Promise.resolve(),
      getCallCredentials: () => credentials,
      destroy: () => undefined,
    };
  }
}
