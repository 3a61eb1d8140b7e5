import { create, type MessageShape } from '@bufbuild/protobuf';
import type { Client } from '@grpc/grpc-js';

import { abortReason } from '../core/deadline.js';
import { VmRunnerError } from '../core/errors.js';
import { callDownload } from './call.js';
import { Checksum } from './checksum.js';

import { AgentService } from './gen/vmrunner/agent/v1/agent_pb.js';
import { PutTreeRequestSchema, type GetTreeResponse } from './gen/vmrunner/agent/v1/trees_pb.js';
import { packTree } from './pack.js';
import type { PutOptions } from './put-file.js';
import { rootOf, type InRoot } from './root.js';
import { guestError } from './status.js';
import { checked, onlyBytes, rechunk, upload, type Part } from './transfer.js';
import { unpackTree, type Unpacked, type UnpackLimits } from './unpack.js';

export interface TreeSelection extends InRoot {
  /** Absolute directory in the guest that globs and names are relative to. */
  readonly directory: string;
  /** Globs as in GetTreeRequest of agent.proto. None: everything. */
  readonly include: readonly string[];
  readonly exclude: readonly string[];
}

/** How far a copy has come. Totals are what the guest found before it sent: they may change, and are 0 until they came. */
export interface TreeProgress {
  readonly entries: number;
  /** Of files, without holes. */
  readonly bytes: number;
  readonly totalEntries: number;
  readonly totalBytes: number;
}

export interface GetTreeOptions {
  /** How much the guest may send. Default: a million entries, 64 GiB. */
  readonly limits?: UnpackLimits;
  /** Told of each part that was written. With it the guest looks at its files twice. */
  readonly onProgress?: (progress: TreeProgress) => void;
}

/** Copies a host directory to a directory in the guest: the new name itself, never "into". */
export async function putTree(client: Client, source: string, target: string, options: PutOptions): Promise<void> {
  async function* messages(): AsyncGenerator<MessageShape<typeof PutTreeRequestSchema>> {
    yield create(PutTreeRequestSchema, {
      request: { case: 'header', value: { root: rootOf(options), directory: target, owner: options.owner ?? '' } },
    });
    const checksum = new Checksum();
    for await (const chunk of rechunk(packTree(source, { onSkipped: options.onSkipped }))) {
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
  { limits, onProgress }: GetTreeOptions,
): Promise<Unpacked> {
  const doing = `copy ${selection.directory} out of the guest`;
  const call = callDownload(client, AgentService.method.getTree, {
    root: rootOf(selection),
    directory: selection.directory,
    include: [...selection.include],
    exclude: [...selection.exclude],
    totals: onProgress !== undefined,
  });
  signal.addEventListener('abort', call.cancel, { once: true });
  if (signal.aborted) call.cancel();
  let totals = { totalEntries: 0, totalBytes: 0 };
  const part = ({ response }: GetTreeResponse): Part | undefined => {
    switch (response.case) {
      case 'data':
        return response.value;
      case 'trailer':
        return { trailer: response.value.stream };
      case 'totals':
        totals = { totalEntries: Number(response.value.entries), totalBytes: Number(response.value.bytes) };
        return undefined;
      case undefined:
        return undefined;
    }
  };
  try {
    const archive = onlyBytes(checked(call.messages, part, doing));
    return await unpackTree(archive, target, limits, (progress) => onProgress?.({ ...progress, ...totals }));
  } catch (error) {
    if (signal.aborted) throw abortReason(signal);
    throw error instanceof VmRunnerError ? error : guestError(doing, error);
  } finally {
    signal.removeEventListener('abort', call.cancel);
    call.cancel();
  }
}
