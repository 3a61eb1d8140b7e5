import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';
import https from 'node:https';
import type { AddressInfo } from 'node:net';

import { onTestFinished } from 'vitest';

/** What came to a front, and how many bytes of a body went back. */
export interface SeenRequest {
  readonly method: string;
  readonly url: URL;
  readonly headers: http.IncomingHttpHeaders;
  status: number;
  sentBytes: number;
}

/** Does something else with a request than the registry would; true when it answered. */
export type Misbehaviour = (
  request: SeenRequest,
  response: http.ServerResponse,
  incoming: http.IncomingMessage,
) => boolean | Promise<boolean>;

export interface FrontOptions {
  /** Port of the registry behind. */
  readonly upstream: number;
  readonly misbehave?: Misbehaviour;
  /** Bytes per second of each connection. */
  readonly bytesPerSecond?: number;
  readonly roundTripMs?: number;
  /** Key and certificate, to speak TLS. */
  readonly tls?: { readonly key: string; readonly cert: string };
}

/** A server in front of a registry, which sees everything and lets tests decide what goes wrong. */
export class RegistryFront {
  readonly requests: SeenRequest[] = [];
  misbehave: Misbehaviour;
  readonly #options: FrontOptions;
  readonly #server: http.Server | https.Server;
  readonly #paces = new WeakMap<object, { start: number; bytes: number }>();

  private constructor(options: FrontOptions) {
    this.#options = options;
    this.misbehave = options.misbehave ?? (() => false);
    const listener = (incoming: http.IncomingMessage, response: http.ServerResponse): void => {
      // What a client broke off is no failure of the test.
      this.#handle(incoming, response).catch(() => response.destroy());
    };
    this.#server =
      options.tls === undefined ? http.createServer(listener) : https.createServer({ ...options.tls }, listener);
  }

  static async start(options: FrontOptions): Promise<RegistryFront> {
    const front = new RegistryFront(options);
    front.#server.listen(0, '127.0.0.1');
    await once(front.#server, 'listening');
    onTestFinished(() => front.stop());
    return front;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get host(): string {
    return `127.0.0.1:${this.port}`;
  }

  /** Bytes of bodies that went out for addresses with this in their path. */
  sentBytes(part: string): number {
    return this.requestsTo(part).reduce((sum, request) => sum + request.sentBytes, 0);
  }

  requestsTo(part: string): SeenRequest[] {
    return this.requests.filter(({ url }) => url.pathname.includes(part));
  }

  stop(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }

  async #handle(incoming: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const { method = '', headers } = incoming;
    const url = new URL(incoming.url ?? '', `http://${headers.host ?? ''}`);
    const seen: SeenRequest = { method, url, headers, status: 0, sentBytes: 0 };
    this.requests.push(seen);
    if (this.#options.roundTripMs !== undefined) await pause(this.#options.roundTripMs);
    if (await this.misbehave(seen, response, incoming)) {
      seen.status = response.statusCode;
      return;
    }
    await this.forward(seen, response);
  }

  /** Answers as the registry does. */
  async forward(seen: SeenRequest, response: http.ServerResponse, mostBytes = Infinity): Promise<void> {
    // The registry behind knows nothing of tokens.
    const headers = { ...seen.headers, authorization: undefined, host: undefined };
    const call = http.request({
      host: '127.0.0.1',
      port: this.#options.upstream,
      method: seen.method,
      path: seen.url.pathname + seen.url.search,
      headers: JSON.parse(JSON.stringify(headers)) as http.OutgoingHttpHeaders,
      agent: false,
    });
    call.end();
    const [upstream] = (await once(call, 'response')) as [http.IncomingMessage];
    seen.status = upstream.statusCode ?? 0;
    response.writeHead(seen.status, upstream.headers);
    response.flushHeaders();
    for await (const piece of upstream as AsyncIterable<Buffer>) {
      const bytes = piece.subarray(0, mostBytes - seen.sentBytes);
      seen.sentBytes += bytes.length;
      if (!response.write(bytes)) await drained(response);
      if (response.destroyed) {
        upstream.destroy();
        return;
      }
      await this.#keepPace(response, bytes.length);
      if (seen.sentBytes >= mostBytes) {
        // What was sent arrives; after it the connection ends too early.
        response.socket?.end();
        upstream.destroy();
        return;
      }
    }
    response.end();
  }

  async #keepPace(response: http.ServerResponse, bytes: number): Promise<void> {
    const rate = this.#options.bytesPerSecond;
    const socket = response.socket;
    if (rate === undefined || socket === null) return;
    const now = performance.now();
    let pace = this.#paces.get(socket);
    // A connection that was idle saves up nothing.
    if (pace === undefined || now > pace.start + (pace.bytes / rate) * 1000 + 100) pace = { start: now, bytes: 0 };
    this.#paces.set(socket, pace);
    pace.bytes += bytes;
    const aheadMs = (pace.bytes / rate) * 1000 - (now - pace.start);
    if (aheadMs > 5) await pause(aheadMs);
  }
}

export function answer(
  response: http.ServerResponse,
  status: number,
  body: unknown = {},
  headers: http.OutgoingHttpHeaders = {},
): true {
  response.writeHead(status, { 'content-type': 'application/json', ...headers });
  response.end(typeof body === 'string' || body instanceof Uint8Array ? body : JSON.stringify(body));
  return true;
}

/** The error body of the distribution specification. */
export const registryError = (code: string, message: string): unknown => ({
  errors: [{ code, message, detail: null }],
});

export interface TokenRules {
  readonly service: string;
  /** Who gets a token; `undefined`: everybody. */
  readonly authorization?: string;
  readonly refreshToken?: string;
  /** Seconds. */
  readonly expiresIn?: number;
  /** Address of the token service. Default: on the front itself. */
  readonly realm?: string;
}

/** Lets in only who shows a token for this repository that has not expired; gives such tokens at /token. */
export function tokenGate(rules: TokenRules): Misbehaviour & { readonly issued: string[]; revokeAll: () => void } {
  const tokens = new Map<string, { scope: string; expiresAt: number }>();
  const issued: string[] = [];
  const give = (response: http.ServerResponse, service: string | null, scope: string | null): true => {
    if (service !== rules.service || scope === null)
      return answer(response, 400, registryError('BAD', 'service or scope'));
    const token = randomBytes(24).toString('base64url');
    issued.push(token);
    tokens.set(token, { scope, expiresAt: Date.now() + (rules.expiresIn ?? 300) * 1000 });
    return answer(response, 200, { token, expires_in: rules.expiresIn });
  };
  const gate: Misbehaviour = async (request, response, incoming) => {
    const { url, headers } = request;
    if (url.pathname === '/token') {
      if (request.method === 'POST') {
        const pieces: Buffer[] = [];
        for await (const piece of incoming as AsyncIterable<Buffer>) pieces.push(piece);
        const form = new URLSearchParams(Buffer.concat(pieces).toString());
        const isRight = form.get('grant_type') === 'refresh_token' && form.get('refresh_token') === rules.refreshToken;
        if (!isRight) return answer(response, 401, registryError('UNAUTHORIZED', 'bad refresh token'));
        return give(response, form.get('service'), form.get('scope'));
      }
      if (headers.authorization !== rules.authorization) {
        return answer(response, 401, registryError('UNAUTHORIZED', 'incorrect username or password'));
      }
      return give(response, url.searchParams.get('service'), url.searchParams.get('scope'));
    }
    const repository = /^\/v2\/(.+)\/(?:manifests|blobs)\//.exec(url.pathname)?.[1] ?? '';
    const scope = `repository:${repository}:pull`;
    const token = tokens.get(headers.authorization?.replace(/^Bearer /, '') ?? '');
    if (token !== undefined && token.scope === scope && Date.now() < token.expiresAt) return false;
    const realm = rules.realm ?? `http://${headers.host ?? ''}/token`;
    const challenge = `Bearer realm="${realm}",service="${rules.service}",scope="${scope}"`;
    const body = registryError('UNAUTHORIZED', 'authentication required');
    return answer(response, 401, body, { 'www-authenticate': challenge });
  };
  return Object.assign(gate, { issued, revokeAll: () => tokens.clear() });
}

/** Resolves when there is room again, or nobody reads any more. */
async function drained(response: http.ServerResponse): Promise<void> {
  const heard = new AbortController();
  const { signal } = heard;
  try {
    await Promise.race([once(response, 'drain', { signal }), once(response, 'close', { signal })]);
  } finally {
    heard.abort();
  }
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
