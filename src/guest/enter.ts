import type { MessageInitShape } from '@bufbuild/protobuf';
import type { Client } from '@grpc/grpc-js';

import type { SharedDirectory } from '../core/job.js';
import { callUnary } from './call.js';
import { ENTER_MS } from './deadlines.js';
import { AgentService } from './gen/vmrunner/agent/v1/agent_pb.js';
import type { EnterRequestSchema } from './gen/vmrunner/agent/v1/enter_pb.js';
import { guestError } from './status.js';

/** What programs in the image get when they are not told otherwise. */
export interface ImageDefaults {
  /** `NAME=value`, in order. */
  readonly env: readonly string[];
  /** `name`, `uid`, `name:group` or `uid:gid`; empty: root. */
  readonly user: string;
  /** Empty: none. */
  readonly workingDirectory: string;
  readonly entrypoint: readonly string[];
  readonly command: readonly string[];
}

export interface EnterOptions {
  /** Where the image's disk is; 0: the base root is the image root, too. */
  readonly slot: number;
  readonly defaults: ImageDefaults;
  readonly shared?: readonly SharedDirectory[];
  /** Directories of the image that shall be plain ones of the scratch disk. */
  readonly scratchDirectories?: readonly string[];
  /** The image's own init and its arguments. Default: a small one of the agent's. */
  readonly init?: readonly string[];
  /** Most processes and threads of the image root together. Default: no limit. */
  readonly pids?: number;
  /** Whether {@link getLayer} will be called. Renaming a directory of the image then copies it. */
  readonly keepsChanges?: boolean;
}

/** Makes the root of the job's image in the guest: once, after it was resumed and before anything of the job runs. */
export async function enter(client: Client, options: EnterOptions): Promise<void> {
  const { env, user, workingDirectory, entrypoint, command } = options.defaults;
  const request: MessageInitShape<typeof EnterRequestSchema> = {
    slot: options.slot,
    config: { env: [...env], user, workingDirectory, entrypoint: [...entrypoint], command: [...command] },
    shared: (options.shared ?? []).map(({ path, mode = 0o755, owner = '' }) => ({ path, mode, owner })),
    mounts: (options.scratchDirectories ?? []).map((path) => ({
      path,
      source: { case: 'scratch' as const, value: {} },
    })),
    init: [...(options.init ?? [])],
    ...(options.pids === undefined ? {} : { limits: { pids: BigInt(options.pids) } }),
    keepsChanges: options.keepsChanges ?? false,
  };
  try {
    await callUnary(client, AgentService.method.enter, request, { timeoutMs: ENTER_MS });
  } catch (error) {
    throw guestError('make the root of the image in the guest', error);
  }
}
