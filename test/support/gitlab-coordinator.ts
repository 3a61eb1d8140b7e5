import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

import { Trace } from './gitlab-simulator/trace.js';

/** The last PUT of a job. */
export interface FinalUpdate {
  readonly state: string;
  readonly failure_reason?: string;
  readonly exit_code?: number;
}

/**
 * The part of GitLab that a Runner talks to, for one job: hands it out, takes the trace, and is told how it ended.
 * Written from the wire protocol (lib/api/ci/runner.rb of GitLab Rails has the other side of it).
 */
export class Coordinator implements AsyncDisposable {
  readonly trace = new Trace();
  /** Resolves with the first PUT whose state is not `running`. */
  readonly final: Promise<FinalUpdate>;
  #status = 'running';
  #held = 0;
  #handedOut = false;
  readonly #job: object;
  readonly #server: Server;
  #finish: (update: FinalUpdate) => void = () => undefined;

  private constructor(job: object) {
    this.#job = job;
    this.final = new Promise((resolve) => (this.#finish = resolve));
    this.#server = createServer((request, response) => void this.#answer(request, response));
  }

  /** @param job the answer to `POST /jobs/request` */
  static async start(job: object): Promise<Coordinator> {
    const coordinator = new Coordinator(job);
    coordinator.#server.listen(0, '127.0.0.1');
    await once(coordinator.#server, 'listening');
    return coordinator;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** What a click on "Cancel" does; the Runner sees it with its next trace. */
  cancel(status: 'canceling' | 'canceled'): void {
    this.#status = status;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks);
    const [path = ''] = (request.url ?? '').split('?');
    const route = `${request.method ?? ''} ${path.replace('/api/v4', '').replace(/\/jobs\/\d+/, '/jobs/:id')}`;
    switch (route) {
      case 'POST /runners/verify':
        json(response, 200, { id: 1, token: 'glrt-x', token_expires_at: null });
        break;
      case 'POST /jobs/request':
        this.#handOut(response);
        break;
      case 'PATCH /jobs/:id/trace':
        this.#takeTrace(request, response, body);
        break;
      case 'PUT /jobs/:id':
        this.#takeUpdate(response, body);
        break;
      default:
        json(response, 404, { message: '404 Not Found' });
    }
  }

  #handOut(response: ServerResponse): void {
    if (this.#handedOut) response.writeHead(204, { 'X-GitLab-Last-Update': '1' }).end();
    else json(response, 201, this.#job);
    this.#handedOut = true;
  }

  #takeUpdate(response: ServerResponse, body: Buffer): void {
    const update = JSON.parse(body.toString()) as FinalUpdate;
    if (update.state !== 'running') this.#finish(update);
    response.setHeader('Job-Status', this.#status);
    json(response, 200, {});
  }

  #takeTrace(request: IncomingMessage, response: ServerResponse, body: Buffer): void {
    const start = Number((request.headers['content-range'] ?? '').split('-')[0]);
    const fits = start === this.#held;
    if (fits) {
      this.#held += body.length;
      this.trace.append(body.toString());
    }
    const headers = {
      Range: `0-${this.#held}`,
      'Job-Status': this.#status,
      'X-GitLab-Trace-Update-Interval': '1',
      'Content-Length': '0',
    };
    response.writeHead(fits ? 202 : 416, headers).end();
  }
}

function json(response: ServerResponse, status: number, body: object): void {
  const text = JSON.stringify(body);
  response
    .writeHead(status, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(text) })
    .end(text);
}
