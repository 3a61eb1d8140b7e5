import type { Client } from '@grpc/grpc-js';

import type { GuestNetwork } from '../core/network.js';
import { callUnary } from './call.js';
import { GROW_DISK_MS, SHORT_CALL_MS, SHUTDOWN_MS } from './deadlines.js';
import { AgentService } from './gen/vmrunner/agent/v1/agent_pb.js';
import type { InfoResponse, UsageResponse } from './gen/vmrunner/agent/v1/system_pb.js';
import { rootOf, type InRoot } from './root.js';
import { guestError } from './status.js';

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

/** A file system that was made as large as its disk. */
export interface GrownDisk {
  /** `/dev/vda1` */
  readonly device: string;
  readonly filesystem: string;
  /** Of the file system. Equal when there was nothing to do. */
  readonly bytesBefore: number;
  readonly bytesAfter: number;
  readonly partitionGrown: boolean;
}

/** More than any guest has; what it says beyond is not read. */
const MOST_ADDRESSES = 1000;

export async function info(client: Client, signal?: AbortSignal): Promise<InfoResponse> {
  return await short('ask the agent who it is', () =>
    callUnary(client, AgentService.method.info, {}, { timeoutMs: SHORT_CALL_MS, signal }),
  );
}

export async function usage(client: Client, signal?: AbortSignal): Promise<UsageResponse> {
  return await short('ask the guest what it uses', () =>
    callUnary(client, AgentService.method.usage, {}, { timeoutMs: SHORT_CALL_MS, signal }),
  );
}

/** @returns what was done of it: `clock`, `entropy`, `hostname`, `machine-id`, `network` */
export async function resume(client: Client, identity: Identity): Promise<readonly string[]> {
  const { unixNanos, entropy, hostname, machineId, network } = identity;
  const request = {
    unixNanos,
    entropy,
    hostname,
    machineId,
    ...(network === undefined ? {} : { network: { ...network, nameservers: [...network.nameservers] } }),
  };
  const { done } = await short('tell the guest its time, name and address', () =>
    callUnary(client, AgentService.method.resume, request, { timeoutMs: SHORT_CALL_MS }),
  );
  return done;
}

export async function growDisk(client: Client, path: string, options: InRoot): Promise<GrownDisk> {
  const request = { root: rootOf(options), path };
  const grown = await short(`grow the file system of ${path} in the guest`, () =>
    callUnary(client, AgentService.method.growDisk, request, { timeoutMs: GROW_DISK_MS }),
  );
  const { device, filesystem, partitionGrown } = grown;
  return {
    device,
    filesystem,
    bytesBefore: Number(grown.bytesBefore),
    bytesAfter: Number(grown.bytesAfter),
    partitionGrown,
  };
}

export async function resolveAddresses(client: Client): Promise<readonly string[]> {
  const { addresses } = await short('ask the guest for its addresses', () =>
    callUnary(client, AgentService.method.resolveIP, {}, { timeoutMs: SHORT_CALL_MS }),
  );
  return addresses.slice(0, MOST_ADDRESSES);
}

export async function shutdown(client: Client): Promise<void> {
  await short('power the guest off', () =>
    callUnary(client, AgentService.method.shutdown, {}, { timeoutMs: SHUTDOWN_MS }),
  );
}

async function short<T>(doing: string, call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    throw guestError(doing, error);
  }
}
