import { once } from 'node:events';
import http from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';

import { onTestFinished } from 'vitest';

/** An HTTP proxy that knows where some hosts are, and lets in only who says the right thing. */
export class ConnectProxy {
  /** Authorities that it was asked to CONNECT to, and addresses that it was asked for. */
  readonly asked: string[] = [];
  readonly #server: http.Server;

  private constructor(routes: Readonly<Record<string, number>>, authorization: string | undefined) {
    this.#server = http.createServer((request, response) => {
      this.asked.push(request.url ?? '');
      const url = new URL(request.url ?? '', 'http://nowhere');
      const port = routes[url.host];
      if (port === undefined) return void response.writeHead(502).end();
      const { method, headers } = request;
      const call = http.request({ host: '127.0.0.1', port, method, headers, path: url.pathname + url.search });
      call.on('response', (upstream) => {
        response.writeHead(upstream.statusCode ?? 0, upstream.headers);
        upstream.pipe(response);
      });
      request.pipe(call);
    });
    this.#server.on('connect', (request: http.IncomingMessage, client: Duplex) => {
      this.asked.push(request.url ?? '');
      client.on('error', () => undefined);
      const port = routes[request.url ?? ''];
      const isKnown = authorization === undefined || request.headers['proxy-authorization'] === authorization;
      if (!isKnown) return void client.end('HTTP/1.1 407 Proxy Authentication Required\r\n\r\n');
      if (port === undefined) return void client.end('HTTP/1.1 403 Forbidden\r\n\r\n');
      const upstream: Socket = connect(port, '127.0.0.1', () => {
        client.write('HTTP/1.1 200 Connection established\r\n\r\n');
        upstream.pipe(client).pipe(upstream);
      });
      upstream.on('error', () => client.destroy());
    });
  }

  /** @param routes port on loopback by `host:port` */
  static async start(routes: Readonly<Record<string, number>>, authorization?: string): Promise<ConnectProxy> {
    const proxy = new ConnectProxy(routes, authorization);
    proxy.#server.listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    onTestFinished(() => {
      proxy.#server.close();
      proxy.#server.closeAllConnections();
    });
    return proxy;
  }

  get host(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }
}
