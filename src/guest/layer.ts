import type { Client } from '@grpc/grpc-js';

import { abortReason } from '../core/deadline.js';
import { VmRunnerError } from '../core/errors.js';
import { callDownload } from './call.js';
import { AgentService } from './gen/vmrunner/agent/v1/agent_pb.js';
import type { GetLayerResponse } from './gen/vmrunner/agent/v1/layer_pb.js';
import { guestError } from './status.js';
import { checked, onlyBytes, type Part } from './transfer.js';

export interface GetLayerOptions {
  /** Absolute paths that are left out with all below them. */
  readonly exclude?: readonly string[];
  /** Whether the programs of the guest go on meanwhile. Default: they stand still, so that no file is half written. */
  readonly live?: boolean;
  readonly signal: AbortSignal;
}

/**
 * What was changed in the image root since it was entered: a tar stream with whiteouts, as a layer of an image has it. It
 * ends without an error only when all of it came.
 */
export async function* getLayer(client: Client, options: GetLayerOptions): AsyncGenerator<Uint8Array> {
  const { signal } = options;
  const doing = 'read what changed in the guest';
  const call = callDownload(client, AgentService.method.getLayer, {
    exclude: [...(options.exclude ?? [])],
    live: options.live ?? false,
  });
  signal.addEventListener('abort', call.cancel, { once: true });
  if (signal.aborted) call.cancel();
  try {
    yield* onlyBytes(checked(call.messages, layerPart, doing));
  } catch (error) {
    if (signal.aborted) throw abortReason(signal);
    throw error instanceof VmRunnerError ? error : guestError(doing, error);
  } finally {
    signal.removeEventListener('abort', call.cancel);
    call.cancel();
  }
}

function layerPart({ response }: GetLayerResponse): Part | undefined {
  switch (response.case) {
    case 'data':
      return response.value;
    case 'trailer':
      return { trailer: response.value.stream };
    case undefined:
      return undefined;
  }
}
