import { constants } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';

import { create, type MessageInitShape, type MessageShape } from '@bufbuild/protobuf';
import type { Client } from '@grpc/grpc-js';

import { fileError, VmRunnerError } from '../core/errors.js';
import { Checksum } from './checksum.js';
import { AgentService } from './gen/vmrunner/agent/v1/agent_pb.js';
import { PutFileRequestSchema } from './gen/vmrunner/agent/v1/files_pb.js';
import { rootOf, type InRoot } from './root.js';
import { readPieces } from './sparse-file.js';
import { guestError } from './status.js';
import { upload } from './transfer.js';

export interface PutOptions extends InRoot {
  /** Owner in the guest: `name`, `uid`, `name:group` or `uid:gid`. Default: root. */
  readonly owner?: string | undefined;
  readonly signal: AbortSignal;
  /** Told of each name in a tree that is not UTF-8 and was left out. Default: such a name is an error. */
  readonly onSkipped?: (name: string) => void;
}

/** A host file that is open for reading, as it was when it was opened. */
export interface SourceFile extends AsyncDisposable {
  readonly handle: FileHandle;
  readonly size: number;
  /** Permission bits, 0..07777. */
  readonly mode: number;
  /** Nanoseconds since 1970. */
  readonly mtimeNanos: bigint;
}

const NANOS = 1_000_000_000n;

/** Copies one host file to a path in the guest: the new name itself, never "into". The old file stays until the new one is whole. */
export async function putFile(client: Client, source: string, target: string, options: PutOptions): Promise<void> {
  await using file = await openSource(source);
  const doing = `copy ${source} to ${target} in the guest`;
  const { size } = await upload(
    client,
    AgentService.method.putFile,
    messages(file, source, target, options),
    doing,
    options.signal,
  );
  if (size !== BigInt(file.size)) {
    throw guestError(doing, new VmRunnerError('agent-protocol', `guest wrote another size while trying to ${doing}`));
  }
}

async function* messages(
  file: SourceFile,
  source: string,
  target: string,
  options: PutOptions,
): AsyncGenerator<MessageShape<typeof PutFileRequestSchema>> {
  const { size, mode, mtimeNanos } = file;
  // Rounded down, also before 1970.
  const mtime = (mtimeNanos - (((mtimeNanos % NANOS) + NANOS) % NANOS)) / NANOS;
  const header = { size: BigInt(size), mode, mtime, mtimeNanos: Number(mtimeNanos - mtime * NANOS) };
  yield message({
    case: 'header',
    value: { root: rootOf(options), path: target, owner: options.owner ?? '', file: header },
  });
  const checksum = new Checksum();
  // Exactly the size that was announced: a file that grows meanwhile is cut, one that shrinks is an error below.
  for await (const piece of hostErrors(readPieces(file.handle, size), source)) {
    if ('hole' in piece) {
      checksum.skip(piece.hole);
      yield message({ case: 'hole', value: BigInt(piece.hole) });
    } else {
      checksum.update(piece);
      yield message({ case: 'data', value: piece });
    }
  }
  if (checksum.trailer.size !== BigInt(size)) throw becameShorter(source);
  yield message({ case: 'trailer', value: checksum.trailer });
}

function message(
  request: MessageInitShape<typeof PutFileRequestSchema>['request'],
): MessageShape<typeof PutFileRequestSchema> {
  return create(PutFileRequestSchema, { request } as MessageInitShape<typeof PutFileRequestSchema>);
}

/** @throws invalid-input when it is no regular file that can be read. */
export async function openSource(path: string): Promise<SourceFile> {
  let handle: FileHandle;
  try {
    // Opening a pipe would wait for its other end.
    handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (cause) {
    throw new VmRunnerError('invalid-input', 'cannot read the file to copy', {
      subject: path,
      hint: 'Check that it exists.',
      cause,
    });
  }
  try {
    const found = await handle.stat({ bigint: true });
    if (!found.isFile()) throw new VmRunnerError('invalid-input', 'not a regular file', { subject: path });
    return {
      handle,
      size: Number(found.size),
      mode: Number(found.mode & 0o7777n),
      mtimeNanos: found.mtimeNs,
      [Symbol.asyncDispose]: () => handle.close(),
    };
  } catch (error) {
    await handle.close();
    throw error instanceof VmRunnerError ? error : fileError('look at a file', path, error);
  }
}

export function becameShorter(source: string): VmRunnerError {
  return new VmRunnerError('invalid-input', 'file became shorter while it was copied into the guest', {
    subject: source,
  });
}

async function* hostErrors<T>(pieces: AsyncIterable<T>, path: string): AsyncGenerator<T> {
  try {
    yield* pieces;
  } catch (cause) {
    throw fileError('read a file', path, cause);
  }
}
