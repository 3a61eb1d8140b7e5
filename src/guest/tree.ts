import { create, type MessageShape } from '@bufbuild/protobuf';
import type { Client } from '@grpc/grpc-js';

import { abortReason } from '../core/deadline.js';
import { VmRunnerError } from '../core/errors.js';
import { callDownload } from './call.js';
import { Checksum } from './checksum.js';
import type { PutOptions } from './files.js';
import { AgentService } from './gen/vmrunner/agent/v1/agent_pb.js';
import { Root } from './gen/vmrunner/agent/v1/root_pb.js';
import { PutTreeRequestSchema } from './gen/vmrunner/agent/v1/trees_pb.js';
import { packTree } from './pack.js';
import { guestError } from './status.js';
import { checked, rechunk, upload } from './transfer.js';
import { unpackTree, type Unpacked, type UnpackLimits } from './unpack.js';

export interface TreeSelection {
  /** Absolute directory in the guest that globs and names are relative to. */
  readonly directory: string;
  /** Globs as in GetTreeRequest of agent.proto. None: everything. */
  readonly include: readonly string[];
  readonly exclude: readonly string[];
}

/** Copies a host directory to a directory in the guest: the new name itself, never "into". */
export async function putTree(client: Client, source: string, target: string, options: PutOptions): Promise<void> {
  async function* messages(): AsyncGenerator<MessageShape<typeof PutTreeRequestSchema>> {
    yield create(PutTreeRequestSchema, {
      request: { case: 'header', value: { root: Root.IMAGE, directory: target, owner: options.owner ?? '' } },
    });
    const checksum = new Checksum();
    for await (const chunk of rechunk(packTree(source, options.onSkipped))) {
      checksum.update(chunk);
      yield create(PutTreeRequestSchema, { request: { case: 'data', value: chunk } });
    }
    yield create(PutTreeRequestSchema, { request: { case: 'trailer', value: checksum.trailer } });
  }
  await upload(
    client,
    AgentService.method.putTree,
    messages(),
    `copy ${source} to ${target} in the guest`,
    options.signal,
  );
}

/** Copies what the globs select in the guest below a host directory. That nothing matched is no error: look at `files`. */
export async function getTree(
  client: Client,
  selection: TreeSelection,
  target: string,
  signal: AbortSignal,
  limits?: UnpackLimits,
): Promise<Unpacked> {
  const doing = `copy ${selection.directory} out of the guest`;
  const call = callDownload(client, AgentService.method.getTree, {
    root: Root.IMAGE,
    directory: selection.directory,
    include: [...selection.include],
    exclude: [...selection.exclude],
  });
  signal.addEventListener('abort', call.cancel, { once: true });
  const archive = checked(
    call.messages,
    ({ response }) => {
      switch (response.case) {
        case 'data':
          return { data: response.value };
        case 'trailer':
          return { trailer: response.value.stream };
        case 'totals':
        case undefined:
          return undefined;
      }
    },
    doing,
  );
  try {
    return await unpackTree(archive, target, limits);
  } catch (error) {
    if (signal.aborted) throw abortReason(signal);
    throw error instanceof VmRunnerError ? error : guestError(doing, error);
  } finally {
    signal.removeEventListener('abort', call.cancel);
    call.cancel();
  }
}
