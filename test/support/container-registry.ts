import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import path from 'node:path';
import { gzipSync } from 'node:zlib';

import { onTestFinished } from 'vitest';

import { temporaryDirectory } from './temporary-directory.js';

export const OCI_MANIFEST = 'application/vnd.oci.image.manifest.v1+json';
export const OCI_INDEX = 'application/vnd.oci.image.index.v1+json';
export const OCI_CONFIG = 'application/vnd.oci.image.config.v1+json';
export const OCI_LAYER = 'application/vnd.oci.image.layer.v1.tar+gzip';

export interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
}

export interface PushedImage {
  readonly digest: string;
  readonly layers: readonly (Descriptor & { readonly diffId: string })[];
}

export const sha256 = (bytes: Uint8Array): string => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

/** Debian's docker-registry on loopback, with a store of its own, until the test is over. */
export class ContainerRegistry {
  private constructor(readonly port: number) {}

  static async start(): Promise<ContainerRegistry> {
    const directory = await temporaryDirectory();
    const port = await freePort();
    const config = path.join(directory, 'config.yml');
    const storage = `{filesystem: {rootdirectory: ${path.join(directory, 'data')}}, delete: {enabled: true}}`;
    const log = '{level: error, accesslog: {disabled: true}}';
    await writeFile(config, `version: 0.1\nlog: ${log}\nstorage: ${storage}\nhttp: {addr: '127.0.0.1:${port}'}\n`);
    const child = spawn('docker-registry', ['serve', config], { stdio: 'ignore' });
    const ended = new Promise<never>((_, reject) => {
      child.once('error', reject);
      child.once('exit', (code) => reject(new Error(`docker-registry ended with exit code ${String(code)}`)));
    });
    ended.catch(() => undefined);
    onTestFinished(async () => {
      if (child.exitCode === null && child.kill()) await once(child, 'exit');
    });
    const registry = new ContainerRegistry(port);
    await Promise.race([registry.#answers(), ended]);
    return registry;
  }

  get host(): string {
    return `127.0.0.1:${this.port}`;
  }

  /** An image of these layers, each given as what it is unpacked. */
  async pushImage(
    repository: string,
    tag: string,
    layers: readonly Uint8Array[],
    options: { readonly architecture?: string } = {},
  ): Promise<PushedImage> {
    const pushed = [];
    for (const layer of layers) {
      const blob = await this.pushBlob(repository, gzipSync(layer, { level: 1 }), OCI_LAYER);
      pushed.push({ ...blob, diffId: sha256(layer) });
    }
    const facts = {
      os: 'linux',
      architecture: options.architecture ?? 'amd64',
      config: { Env: ['A=1'] },
      rootfs: { type: 'layers', diff_ids: pushed.map(({ diffId }) => diffId) },
    };
    const config = await this.pushBlob(repository, Buffer.from(JSON.stringify(facts)), OCI_CONFIG);
    const manifest = {
      schemaVersion: 2,
      mediaType: OCI_MANIFEST,
      config,
      layers: pushed.map(({ mediaType, digest, size }) => ({ mediaType, digest, size })),
    };
    return { digest: (await this.pushManifest(repository, tag, manifest, OCI_MANIFEST)).digest, layers: pushed };
  }

  async pushBlob(repository: string, bytes: Uint8Array, mediaType: string): Promise<Descriptor> {
    const digest = sha256(bytes);
    const begun = await this.#call('POST', `/v2/${repository}/blobs/uploads/`);
    const target = new URL(begun.headers.get('location') ?? '', `http://${this.host}`);
    target.searchParams.set('digest', digest);
    await this.#call('PUT', target.pathname + target.search, bytes, 'application/octet-stream');
    return { mediaType, digest, size: bytes.byteLength };
  }

  async pushManifest(repository: string, tag: string, manifest: unknown, mediaType: string): Promise<Descriptor> {
    const bytes = Buffer.from(JSON.stringify(manifest));
    await this.#call('PUT', `/v2/${repository}/manifests/${tag}`, bytes, mediaType);
    return { mediaType, digest: sha256(bytes), size: bytes.byteLength };
  }

  async #call(method: string, target: string, body?: Uint8Array, type?: string): Promise<Response> {
    const response = await fetch(`http://${this.host}${target}`, {
      method,
      ...(body === undefined ? {} : { body: new Blob([body]) }),
      ...(type === undefined ? {} : { headers: { 'content-type': type } }),
    });
    if (response.ok) return response;
    throw new Error(`${method} ${target}: ${response.status} ${await response.text()}`);
  }

  async #answers(): Promise<void> {
    for (;;) {
      try {
        await this.#call('GET', '/v2/');
        return;
      } catch (error) {
        if (!(error instanceof TypeError)) throw error;
        // It is not listening yet: a connection to it is the only sign.
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
  }
}
