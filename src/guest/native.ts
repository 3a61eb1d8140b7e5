import type { Duplex } from 'node:stream';

import { detach, type DetachOptions } from './detach.js';
import type { Connection } from './dial.js';
import { enter, type EnterOptions } from './enter.js';
import { exec, type ExecOptions, type ProgramEnd } from './exec.js';
import { forward, type ForwardTarget } from './forward.js';
import { getFile, type GetFileOptions } from './get-file.js';
import type { InfoResponse, UsageResponse } from './gen/vmrunner/agent/v1/system_pb.js';
import { getLayer, type GetLayerOptions } from './layer.js';
import {
  list,
  makeDirectory,
  remove,
  stat,
  type ListOptions,
  type MakeDirectoryOptions,
  type PathInfo,
  type RemoveOptions,
  type StatOptions,
} from './paths.js';
import { putFile, type PutOptions } from './put-file.js';
import type { InRoot } from './root.js';
import { signalProgram } from './signal.js';
import type { GuestAgent } from './surface.js';
import { growDisk, info, resolveAddresses, resume, shutdown, type GrownDisk, type Identity, usage } from './system.js';
import { getTree, putTree, type GetTreeOptions, type TreeSelection } from './tree.js';
import type { Unpacked } from './unpack.js';

/** Our own agent, which serves the whole contract. */
export class NativeAgent implements GuestAgent {
  readonly capabilities: readonly string[];
  readonly #connection: Connection;
  #heardAt = performance.now();

  /** @param hello what it answered when it was asked who it is */
  constructor(connection: Connection, hello: InfoResponse) {
    this.#connection = connection;
    this.capabilities = hello.capabilities;
  }

  get heardAt(): number {
    return this.#heardAt;
  }

  info(): Promise<InfoResponse> {
    return info(this.#connection.client);
  }

  async usage(signal?: AbortSignal): Promise<UsageResponse> {
    const answer = await usage(this.#connection.client, signal);
    this.#heardAt = performance.now();
    return answer;
  }

  resume(identity: Identity): Promise<readonly string[]> {
    return resume(this.#connection.client, identity);
  }

  enter(options: EnterOptions): Promise<void> {
    return enter(this.#connection.client, options);
  }

  getLayer(options: GetLayerOptions): AsyncIterable<Uint8Array> {
    return getLayer(this.#connection.client, options);
  }

  exec(options: ExecOptions): Promise<ProgramEnd> {
    const heard =
      <T>(take: (bytes: Uint8Array) => T) =>
      (bytes: Uint8Array): T => {
        this.#heardAt = performance.now();
        return take(bytes);
      };
    const { onStdout, onStderr } = options;
    return exec(this.#connection.client, { ...options, onStdout: heard(onStdout), onStderr: heard(onStderr) });
  }

  detach(options: DetachOptions): Promise<number> {
    return detach(this.#connection.client, options);
  }

  signal(pid: number, number: number): Promise<void> {
    return signalProgram(this.#connection.client, pid, number);
  }

  putFile(source: string, target: string, options: PutOptions): Promise<void> {
    return putFile(this.#connection.client, source, target, options);
  }

  getFile(source: string, target: string, signal: AbortSignal, options: GetFileOptions = {}): Promise<void> {
    return getFile(this.#connection.client, source, target, signal, options);
  }

  putTree(source: string, target: string, options: PutOptions): Promise<void> {
    return putTree(this.#connection.client, source, target, options);
  }

  getTree(
    selection: TreeSelection,
    target: string,
    signal: AbortSignal,
    options: GetTreeOptions = {},
  ): Promise<Unpacked> {
    return getTree(this.#connection.client, selection, target, signal, options);
  }

  stat(path: string, options: StatOptions = {}): Promise<PathInfo> {
    return stat(this.#connection.client, path, options);
  }

  list(path: string, options: ListOptions = {}): AsyncIterable<PathInfo> {
    return list(this.#connection.client, path, options);
  }

  makeDirectory(path: string, options: MakeDirectoryOptions = {}): Promise<boolean> {
    return makeDirectory(this.#connection.client, path, options);
  }

  remove(path: string, options: RemoveOptions = {}): Promise<number> {
    return remove(this.#connection.client, path, options);
  }

  growDisk(path = '/', options: InRoot = {}): Promise<GrownDisk> {
    return growDisk(this.#connection.client, path, options);
  }

  resolveAddresses(): Promise<readonly string[]> {
    return resolveAddresses(this.#connection.client);
  }

  forward(target: ForwardTarget, signal?: AbortSignal): Promise<Duplex> {
    return forward(this.#connection.client, target, signal);
  }

  shutdown(): Promise<void> {
    return shutdown(this.#connection.client);
  }

  async close(): Promise<void> {
    await this.#connection.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
