import type { Duplex } from 'node:stream';

import { create } from '@bufbuild/protobuf';

import { Deadline } from '../../core/deadline.js';
import { VmRunnerError } from '../../core/errors.js';
import { callUnary } from '../call.js';
import { SHORT_CALL_MS, WALK_MS } from '../deadlines.js';
import type { DetachOptions } from '../detach.js';
import type { Connection } from '../dial.js';
import type { ExecOptions, ProgramEnd } from '../exec.js';
import { Agent } from '../gen/tart_pb.js';
import { InfoResponseSchema, type InfoResponse, type UsageResponse } from '../gen/vmrunner/agent/v1/system_pb.js';
import type { GetFileOptions } from '../get-file.js';
import type { ListOptions, MakeDirectoryOptions, PathInfo, RemoveOptions, StatOptions } from '../paths.js';
import type { PutOptions } from '../put-file.js';
import type { InRoot } from '../root.js';
import type { GuestAgent } from '../surface.js';
import type { GrownDisk } from '../system.js';
import type { GetTreeOptions, TreeSelection } from '../tree.js';
import type { Unpacked } from '../unpack.js';
import { detach, signalProgram } from './detach.js';
import { tartExec } from './exec.js';
import { getFile, putFile } from './files.js';
import { list, makeDirectory, remove, stat } from './paths.js';
import { runnable } from './script.js';
import { runShell } from './shell.js';
import { beyondTart, tartError } from './status.js';
import { getTree, putTree } from './tree.js';

const WHO = 'uname -s; uname -m; uname -r; uname -n';

/**
 * A guest with Tart's agent alone, which runs programs and nothing else: files and all the rest go through `sh`, `cat` and
 * `tar` of the guest. What has no such way is refused with a sentence.
 */
export class TartAgent implements GuestAgent {
  readonly capabilities = ['tart-fallback'];
  readonly heardAt = performance.now();
  readonly #connection: Connection;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  get #client(): Connection['client'] {
    return this.#connection.client;
  }

  async info(): Promise<InfoResponse> {
    const doing = 'ask the guest who it is';
    const output = await this.#within(SHORT_CALL_MS, doing, undefined, (signal) =>
      runShell(this.#client, doing, WHO, [], { signal }),
    );
    const [system = '', machine = '', kernel = '', hostname = ''] = output.toString().split('\n');
    const arch = { x86_64: 'amd64', aarch64: 'arm64' }[machine] ?? machine;
    const { capabilities } = this;
    return create(InfoResponseSchema, { os: system.toLowerCase(), arch, kernel, hostname, capabilities });
  }

  /** Nothing of it can be done, which is no error: see ResumeResponse. */
  resume(): Promise<readonly string[]> {
    return Promise.resolve([]);
  }

  enter(): Promise<void> {
    return Promise.reject(beyondTart('make the root of an image'));
  }

  getLayer(): AsyncIterable<Uint8Array> {
    throw beyondTart('tell what changed in its root');
  }

  async exec(options: ExecOptions): Promise<ProgramEnd> {
    if (options.user !== undefined && options.user !== '') throw beyondTart('run a program as another user');
    inImage(options);
    const { argv, remove: removeScript } = await runnable(this.#client, options.program, options.signal);
    try {
      return await tartExec(this.#client, { ...options, argv });
    } finally {
      await removeScript();
    }
  }

  async detach(options: DetachOptions): Promise<number> {
    if (options.user !== undefined && options.user !== '') throw beyondTart('run a program as another user');
    inImage(options);
    return await this.#within(SHORT_CALL_MS, 'start a program in the guest', options.signal, (signal) =>
      detach(this.#client, options, signal),
    );
  }

  signal(pid: number, number: number): Promise<void> {
    return this.#within(SHORT_CALL_MS, `signal process ${pid} of the guest`, undefined, (signal) =>
      signalProgram(this.#client, pid, number, signal),
    );
  }

  async putFile(source: string, target: string, options: PutOptions): Promise<void> {
    inImage(options);
    await putFile(this.#client, source, target, options);
  }

  async getFile(source: string, target: string, signal: AbortSignal, options: GetFileOptions = {}): Promise<void> {
    inImage(options);
    await getFile(this.#client, source, target, signal, options);
  }

  async putTree(source: string, target: string, options: PutOptions): Promise<void> {
    inImage(options);
    await putTree(this.#client, source, target, options);
  }

  async getTree(
    selection: TreeSelection,
    target: string,
    signal: AbortSignal,
    options: GetTreeOptions = {},
  ): Promise<Unpacked> {
    inImage(selection);
    return await getTree(this.#client, selection, target, signal, options);
  }

  async stat(path: string, options: StatOptions = {}): Promise<PathInfo> {
    inImage(options);
    return await this.#within(SHORT_CALL_MS, `look at ${path} in the guest`, undefined, (signal) =>
      stat(this.#client, path, options, signal),
    );
  }

  async *list(path: string, options: ListOptions = {}): AsyncGenerator<PathInfo> {
    inImage(options);
    using deadline = deadlineFor(WALK_MS, `list ${path} in the guest`, options.signal);
    yield* list(this.#client, path, options, deadline.signal);
  }

  async makeDirectory(path: string, options: MakeDirectoryOptions = {}): Promise<boolean> {
    inImage(options);
    return await this.#within(SHORT_CALL_MS, `make the directory ${path} in the guest`, undefined, (signal) =>
      makeDirectory(this.#client, path, options, signal),
    );
  }

  async remove(path: string, options: RemoveOptions = {}): Promise<number> {
    inImage(options);
    return await this.#within(WALK_MS, `remove ${path} in the guest`, options.signal, (signal) =>
      remove(this.#client, path, options, signal),
    );
  }

  usage(): Promise<UsageResponse> {
    return Promise.reject(beyondTart('say what it uses'));
  }

  growDisk(): Promise<GrownDisk> {
    return Promise.reject(beyondTart('grow a file system when it is asked to'));
  }

  async resolveAddresses(): Promise<readonly string[]> {
    try {
      const { ip } = await callUnary(this.#client, Agent.method.resolveIP, {}, { timeoutMs: SHORT_CALL_MS });
      return ip === '' ? [] : [ip];
    } catch (error) {
      throw tartError('ask the guest for its addresses', error);
    }
  }

  forward(): Promise<Duplex> {
    return Promise.reject(beyondTart('connect to a socket in the guest'));
  }

  shutdown(): Promise<void> {
    return Promise.reject(beyondTart('power the guest off'));
  }

  async close(): Promise<void> {
    await this.#connection.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #within<T>(
    milliseconds: number,
    doing: string,
    parent: AbortSignal | undefined,
    work: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    using deadline = deadlineFor(milliseconds, doing, parent);
    return await work(deadline.signal);
  }
}

function deadlineFor(milliseconds: number, doing: string, parent: AbortSignal | undefined): Deadline {
  const expired = (): VmRunnerError =>
    new VmRunnerError('agent-unreachable', `guest did not ${doing} within ${milliseconds / 1000} s`);
  return new Deadline(milliseconds, expired, parent);
}

/** Tart's agent runs in the image, and knows nothing else. */
function inImage({ root }: InRoot): void {
  if (root === 'base') throw beyondTart('reach another root than the one that it runs in');
}
