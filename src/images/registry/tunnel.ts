import http from 'node:http';
import https from 'node:https';
import type { Duplex } from 'node:stream';
import tls from 'node:tls';

import { VmRunnerError } from '../../core/errors.js';
import { proxyAuthorization } from './proxy.js';
import { Transient } from './transient.js';

/** Opens TLS connections through an HTTP proxy: it is asked to CONNECT, what follows is between us and the other end. */
export class TunnelAgent extends https.Agent {
  readonly #proxy: URL;
  readonly #connectMs: number;

  constructor(options: https.AgentOptions & { readonly proxy: URL; readonly connectMs: number }) {
    super(options);
    this.#proxy = options.proxy;
    this.#connectMs = options.connectMs;
  }

  override createConnection(
    options: https.RequestOptions,
    callback?: (error: Error | null, stream: Duplex) => void,
  ): undefined {
    const done = (error: Error | null, stream?: Duplex): void => callback?.(error, stream as Duplex);
    const host = (options.host ?? '').replaceAll(/^\[|\]$/g, '');
    const authority = `${host.includes(':') ? `[${host}]` : host}:${String(options.port ?? 443)}`;
    const request = (this.#proxy.protocol === 'https:' ? https : http).request(this.#proxy, {
      method: 'CONNECT',
      path: authority,
      headers: { host: authority, ...proxyAuthorization(this.#proxy) },
      agent: false,
      timeout: this.#connectMs,
    });
    request.once('timeout', () => request.destroy(proxyError(this.#proxy, 'the proxy did not answer in time')));
    request.once('error', (error) => done(error instanceof Transient ? error : unreachable(this.#proxy, error)));
    request.once('connect', (response, socket, head) => {
      if (response.statusCode !== 200 || head.length > 0) {
        socket.destroy();
        done(refused(this.#proxy, authority, response.statusCode ?? 0));
        return;
      }
      socket.setTimeout(0);
      done(null, tls.connect({ ...(options as tls.ConnectionOptions), socket, servername: servername(host) }));
    });
    request.end();
  }
}

/** TLS names hosts, never addresses. */
function servername(host: string): string {
  return /^[\d.]+$|:/.test(host) ? '' : host;
}

function refused(proxy: URL, authority: string, status: number): Error {
  const hint =
    status === 407
      ? 'It wants other credentials: check the user and password in HTTPS_PROXY.'
      : 'Check HTTPS_PROXY and NO_PROXY.';
  const error = new VmRunnerError(
    'registry-failed',
    `the proxy ${proxy.host} refused a connection with status ${status}`,
    {
      subject: authority,
      hint,
    },
  );
  return status >= 500 ? new Transient(error) : error;
}

function unreachable(proxy: URL, cause: Error): Transient {
  return proxyError(proxy, `the proxy cannot be reached (${cause.message})`, cause);
}

function proxyError(proxy: URL, reason: string, cause?: Error): Transient {
  const hint = 'Check HTTPS_PROXY and NO_PROXY.';
  return new Transient(new VmRunnerError('registry-failed', reason, { subject: proxy.host, hint, cause }));
}
