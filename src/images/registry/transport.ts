import { readFile } from 'node:fs/promises';
import http from 'node:http';
import https from 'node:https';
import { rootCertificates } from 'node:tls';

import { abortReason } from '../../core/deadline.js';
import { VmRunnerError } from '../../core/errors.js';
import { fileStep } from '../file-step.js';
import { proxyAuthorization, proxyFor, type ProxyOptions } from './proxy.js';
import { Transient } from './transient.js';
import { shownAddress, transportError } from './transport-error.js';
import { TunnelAgent } from './tunnel.js';

export interface HttpRequest {
  readonly method: 'GET' | 'HEAD' | 'POST';
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly signal: AbortSignal;
}

export interface HttpResponse {
  readonly url: URL;
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  /** To be read once, or given up with `discard`. */
  readonly body: AsyncIterable<Uint8Array>;
  readonly discard: () => void;
}

/** Milliseconds. There is none for the whole of a download: while bytes come, it goes on. */
export interface Timeouts {
  /** Name lookup, TCP, proxy and TLS together. */
  readonly connect: number;
  /** From the request to the head of the answer. */
  readonly firstByte: number;
  /** Between two pieces of an answer. */
  readonly stall: number;
}

export const DEFAULT_TIMEOUTS: Timeouts = { connect: 15_000, firstByte: 30_000, stall: 30_000 };
const MOST_HEADER_BYTES = 64 * 2 ** 10;
const MOST_DRAINED_BYTES = 16 * 2 ** 10;

/** HTTP to one registry and what belongs to it: connections are kept until {@link close}. Follows no redirects. */
export class Transport {
  readonly #proxy: ProxyOptions;
  readonly #timeouts: Timeouts;
  readonly #agents = new Map<string, http.Agent>();
  readonly #caFile: string | undefined;
  #ca: Promise<string[]> | undefined;

  constructor(options: {
    readonly proxy: ProxyOptions;
    readonly caFile: string | undefined;
    readonly timeouts: Timeouts;
  }) {
    this.#proxy = options.proxy;
    this.#caFile = options.caFile;
    this.#timeouts = options.timeouts;
  }

  /** @throws Transient, or registry-failed when another try would not help; the signal's reason. */
  async request(url: URL, request: HttpRequest): Promise<HttpResponse> {
    const { method, signal, body } = request;
    if (signal.aborted) throw abortReason(signal);
    const proxy = proxyFor(url, this.#proxy);
    const agent = await this.#agent(url, proxy);
    // A proxy is told the whole address when there is no TLS to hide it.
    const viaProxy = proxy !== undefined && url.protocol === 'http:';
    const headers = { ...request.headers, host: url.host, ...(viaProxy ? proxyAuthorization(proxy) : {}) };
    const options = { method, headers, agent, maxHeaderSize: MOST_HEADER_BYTES };
    const call = viaProxy
      ? (proxy.protocol === 'https:' ? https : http).request(proxy, { ...options, path: url.href })
      : (url.protocol === 'https:' ? https : http).request(url, options);
    return this.#answer(call, url, signal, body);
  }

  close(): void {
    for (const agent of this.#agents.values()) agent.destroy();
    this.#agents.clear();
  }

  #answer(call: http.ClientRequest, url: URL, signal: AbortSignal, body: string | undefined): Promise<HttpResponse> {
    const timeouts = this.#timeouts;
    return new Promise((resolve, reject) => {
      const stop = (): void => void call.destroy(abortReason(signal));
      signal.addEventListener('abort', stop, { once: true });
      const overdue = (what: string, milliseconds: number) => (): void => {
        call.destroy(late(url, what, milliseconds));
      };
      let timer = setTimeout(overdue('no connection', timeouts.connect), timeouts.connect);
      const connected = (): void => {
        clearTimeout(timer);
        timer = setTimeout(overdue('no answer', timeouts.firstByte), timeouts.firstByte);
      };
      call.once('socket', (socket) => {
        if (socket.connecting || (url.protocol === 'https:' && !call.reusedSocket)) {
          socket.once(url.protocol === 'https:' ? 'secureConnect' : 'connect', connected);
        } else connected();
      });
      call.once('close', () => {
        clearTimeout(timer);
        signal.removeEventListener('abort', stop);
      });
      // Also later errors come here, those of a body that nobody reads any more: they change nothing.
      call.on('error', (cause) => reject(signal.aborted ? abortReason(signal) : transportError(url, cause)));
      call.once('response', (response) => {
        clearTimeout(timer);
        response.on('error', () => undefined);
        resolve({
          url,
          status: response.statusCode ?? 0,
          headers: response.headers,
          body: pieces(response, url, timeouts.stall, signal),
          discard: () => discard(response, call.method === 'HEAD'),
        });
      });
      call.end(body);
    });
  }

  async #agent(url: URL, proxy: URL | undefined): Promise<http.Agent> {
    const key = url.protocol === 'https:' ? `https ${proxy?.href ?? ''}` : `http ${proxy?.protocol ?? ''}`;
    const known = this.#agents.get(key);
    if (known !== undefined) return known;
    const ca = url.protocol === 'https:' ? await this.#authorities() : undefined;
    const options = { keepAlive: true, scheduling: 'lifo' as const, ...(ca === undefined ? {} : { ca }) };
    const agent =
      this.#agents.get(key) ??
      (url.protocol === 'https:'
        ? proxy === undefined
          ? new https.Agent(options)
          : new TunnelAgent({ ...options, proxy, connectMs: this.#timeouts.connect })
        : proxy?.protocol === 'https:'
          ? new https.Agent(options)
          : new http.Agent(options));
    this.#agents.set(key, agent);
    return agent;
  }

  async #authorities(): Promise<string[] | undefined> {
    if (this.#caFile === undefined) return undefined;
    this.#ca ??= fileStep('read a CA file', this.#caFile, readFile(this.#caFile, 'utf8')).then((text) => {
      if (text.includes('-----BEGIN CERTIFICATE-----')) return [...rootCertificates, text];
      throw new VmRunnerError('invalid-input', 'no certificate in a CA file', {
        subject: this.#caFile ?? '',
        hint: 'Expected PEM text with BEGIN CERTIFICATE.',
      });
    });
    return this.#ca;
  }
}

/** The body as it comes. The clock runs only while we wait: a slow disk of ours is no stall of theirs. */
async function* pieces(
  response: http.IncomingMessage,
  url: URL,
  stallMs: number,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const iterator = response[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>;
  try {
    for (;;) {
      const timer = setTimeout(() => response.destroy(late(url, 'nothing more', stallMs)), stallMs);
      let piece: IteratorResult<Uint8Array>;
      try {
        piece = await iterator.next();
      } catch (cause) {
        throw signal.aborted ? abortReason(signal) : transportError(url, cause as Error);
      } finally {
        clearTimeout(timer);
      }
      if (piece.done === true) return;
      yield piece.value;
    }
  } finally {
    response.destroy();
  }
}

/** A short rest is read away, so that the connection can be used again. */
function discard(response: http.IncomingMessage, isHead: boolean): void {
  const length = Number(response.headers['content-length'] ?? Infinity);
  if (isHead || length <= MOST_DRAINED_BYTES) response.resume();
  else response.destroy();
}

function late(url: URL, what: string, milliseconds: number): Transient {
  const error = new VmRunnerError('registry-failed', `${what} within ${Math.round(milliseconds / 100) / 10} s`, {
    subject: shownAddress(url),
    hint: 'Check the network, and that the registry is up.',
  });
  return new Transient(error);
}
