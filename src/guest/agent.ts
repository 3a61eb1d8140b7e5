import type { Client } from '@grpc/grpc-js';

import type { Endpoint } from '../core/endpoint.js';
import type { ExitStatus } from '../core/job.js';
import type { GuestNetwork } from '../core/network.js';
import { callUnary } from './call.js';
import { dialAgent, type DialOptions } from './dial.js';
import { exec, type ExecOptions } from './exec.js';
import { getFile, putFile, type PutOptions } from './files.js';
import { AgentService } from './gen/vmrunner/agent/v1/agent_pb.js';
import type { GrowDiskResponse, InfoResponse } from './gen/vmrunner/agent/v1/system_pb.js';
import { guestError } from './status.js';
import { getTree, putTree, type TreeSelection } from './tree.js';
import type { Unpacked } from './unpack.js';

/** Who a guest is to be, told once it is up and before any byte of a job runs. */
export interface Identity {
  readonly unixNanos: bigint;
  /** At least 32 random bytes. */
  readonly entropy: Uint8Array;
  readonly hostname: string;
  /** 32 hex digits. */
  readonly machineId: string;
  /** `undefined`: none. */
  readonly network: GuestNetwork | undefined;
}

/** Calls that only ask or tell something small end within this. */
const SHORT_CALL_MS = 10_000;
const SHUTDOWN_MS = 15_000;
/** Growing a large file system writes a little for each part of it. */
const GROW_DISK_MS = 300_000;

/** The agent of one VM: everything that vm-runner does in a guest. Close it when done; it holds a port. */
export class GuestAgent implements AsyncDisposable {
  readonly #client: Client;
  readonly #close: () => Promise<void>;

  private constructor(client: Client, close: () => Promise<void>) {
    this.#client = client;
    this.#close = close;
  }

  /** Connects, and returns when the agent speaks. */
  static async connect(endpoint: Endpoint, options: DialOptions): Promise<GuestAgent> {
    const { client, close } = await dialAgent(endpoint, options);
    return new GuestAgent(client, close);
  }

  async info(): Promise<InfoResponse> {
    return this.#short('ask the agent who it is', callUnary(this.#client, AgentService.method.info, {}, SHORT_CALL_MS));
  }

  /** @returns what was done of it: `clock`, `entropy`, `hostname`, `machine-id`, `network` */
  async resume(identity: Identity): Promise<readonly string[]> {
    const { unixNanos, entropy, hostname, machineId, network } = identity;
    const request = {
      unixNanos,
      entropy,
      hostname,
      machineId,
      ...(network === undefined ? {} : { network: { ...network, nameservers: [...network.nameservers] } }),
    };
    const call = callUnary(this.#client, AgentService.method.resume, request, SHORT_CALL_MS);
    return (await this.#short('tell the guest its time, name and address', call)).done;
  }

  exec(options: ExecOptions): Promise<ExitStatus> {
    return exec(this.#client, options);
  }

  putFile(source: string, target: string, options: PutOptions): Promise<void> {
    return putFile(this.#client, source, target, options);
  }

  getFile(source: string, target: string, signal: AbortSignal): Promise<void> {
    return getFile(this.#client, source, target, signal);
  }

  putTree(source: string, target: string, options: PutOptions): Promise<void> {
    return putTree(this.#client, source, target, options);
  }

  getTree(selection: TreeSelection, target: string, signal: AbortSignal): Promise<Unpacked> {
    return getTree(this.#client, selection, target, signal);
  }

  /** Makes the file system that a path of the guest is on as large as its disk, its partition first if it is in one. */
  async growDisk(path: string): Promise<GrowDiskResponse> {
    const call = callUnary(this.#client, AgentService.method.growDisk, { path }, GROW_DISK_MS);
    return this.#short('grow a disk of the guest', call);
  }

  /** Syncs the guest's disks and powers it off; returns when it has begun. */
  async shutdown(): Promise<void> {
    await this.#short('power the guest off', callUnary(this.#client, AgentService.method.shutdown, {}, SHUTDOWN_MS));
  }

  async close(): Promise<void> {
    await this.#close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #short<T>(doing: string, call: Promise<T>): Promise<T> {
    try {
      return await call;
    } catch (error) {
      throw guestError(doing, error);
    }
  }
}
