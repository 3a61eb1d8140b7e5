import { randomBytes } from 'node:crypto';
import { chmod, open, rename, rm, utimes } from 'node:fs/promises';
import path from 'node:path';

import type { Client } from '@grpc/grpc-js';

import { abortReason } from '../core/deadline.js';
import { fileError, VmRunnerError } from '../core/errors.js';
import { replaceableFile } from '../store/whole-file.js';
import { callDownload } from './call.js';
import { AgentService } from './gen/vmrunner/agent/v1/agent_pb.js';
import type { FileHeader, GetFileResponse } from './gen/vmrunner/agent/v1/files_pb.js';
import { rootOf, type InRoot } from './root.js';
import { PieceWriter, type Piece } from './sparse-file.js';
import { guestError } from './status.js';
import { checked, type Part } from './transfer.js';
import { untrusted } from './untrusted.js';

export interface GetFileOptions extends InRoot {
  /** How large a file the guest may send, holes included. Default: 64 GiB. */
  readonly mostBytes?: number;
}

/** What a new file on the host is given when it is whole. */
export interface FileTraits {
  readonly mode: number;
  /** Seconds since 1970; `undefined`: now. */
  readonly mtime: number | undefined;
}

export const MOST_FILE_BYTES = 64 * 2 ** 30;
const PERMISSION_BITS = 0o777;
const LATEST_SECONDS = 2 ** 40;
const MOST_NANOS = 999_999_999;

/** Copies one regular file of the guest to a path on the host: the new name itself. The old file stays until the new one is whole. */
export async function getFile(
  client: Client,
  source: string,
  target: string,
  signal: AbortSignal,
  options: GetFileOptions,
): Promise<void> {
  const { mostBytes = MOST_FILE_BYTES } = options;
  const doing = `copy ${source} out of the guest`;
  let header: FileHeader | undefined;
  let received = 0;
  const announced = (count: number): void => {
    received += count;
    if (header === undefined) throw untrusted('a file before what it is', source);
    if (BigInt(received) > header.size) throw untrusted('more than it announced', source);
  };
  const part = ({ response }: GetFileResponse): Part | undefined => {
    switch (response.case) {
      case 'header':
        if (header !== undefined) throw untrusted('two files instead of one', source);
        header = response.value;
        if (header.size > BigInt(mostBytes)) throw untrusted(`a file of more than ${mostBytes} bytes`, source);
        return undefined;
      case 'data':
        announced(response.value.length);
        return response.value;
      case 'hole':
        announced(Number(response.value));
        return { hole: Number(response.value) };
      case 'trailer':
        return { trailer: response.value };
      case undefined:
        return undefined;
    }
  };
  const call = callDownload(client, AgentService.method.getFile, { root: rootOf(options), path: source });
  signal.addEventListener('abort', call.cancel, { once: true });
  if (signal.aborted) call.cancel();
  try {
    await writeWhole(target, guestErrors(checked(call.messages, part, doing), doing), () => {
      if (header === undefined) {
        throw new VmRunnerError('agent-protocol', `guest sent no header while trying to ${doing}`);
      }
      if (BigInt(received) !== header.size) throw untrusted('less than it announced', source);
      return traitsOf(header);
    });
  } catch (error) {
    throw signal.aborted ? abortReason(signal) : error;
  } finally {
    signal.removeEventListener('abort', call.cancel);
    call.cancel();
  }
}

/**
 * Writes a file under another name, and gives it its own when it is whole.
 * @param traits asked for when all pieces are there
 */
export async function writeWhole(
  target: string,
  pieces: AsyncIterable<Piece>,
  traits: () => FileTraits,
): Promise<void> {
  const place = await replaceableFile(target);
  const temporary = path.join(path.dirname(place), `.${randomBytes(6).toString('hex')}.tmp`);
  try {
    const file = await open(temporary, 'wx', 0o600);
    try {
      const writer = new PieceWriter(file);
      for await (const piece of pieces) {
        if ('hole' in piece) writer.skip(piece.hole);
        else await writer.write(piece);
      }
      await writer.finish();
    } finally {
      await file.close();
    }
    const { mode, mtime } = traits();
    await chmod(temporary, mode & PERMISSION_BITS);
    if (mtime !== undefined && mtime > 0 && mtime < LATEST_SECONDS) await utimes(temporary, mtime, mtime);
    await rename(temporary, place);
  } catch (error) {
    // The first error is the reason.
    await rm(temporary, { force: true }).catch(() => undefined);
    throw error instanceof VmRunnerError ? error : fileError('write a file', target, error);
  }
}

function traitsOf({ mode, mtime, mtimeNanos }: FileHeader): FileTraits {
  return { mode, mtime: Number(mtime) + Math.min(mtimeNanos, MOST_NANOS) / 1e9 };
}

async function* guestErrors<T>(pieces: AsyncIterable<T>, doing: string): AsyncGenerator<T> {
  try {
    yield* pieces;
  } catch (cause) {
    throw guestError(doing, cause);
  }
}
