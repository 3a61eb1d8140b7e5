import { randomBytes } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { chmod, rename, rm, stat, utimes } from 'node:fs/promises';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';

import { create, type MessageShape } from '@bufbuild/protobuf';
import type { Client } from '@grpc/grpc-js';

import { abortReason } from '../core/deadline.js';
import { fileError, VmRunnerError } from '../core/errors.js';
import { replaceableFile } from '../store/whole-file.js';
import { callDownload } from './call.js';
import { Checksum } from './checksum.js';
import { AgentService } from './gen/vmrunner/agent/v1/agent_pb.js';
import { PutFileRequestSchema, type FileHeader } from './gen/vmrunner/agent/v1/files_pb.js';
import { Root } from './gen/vmrunner/agent/v1/root_pb.js';
import { guestError } from './status.js';
import { checked, rechunk, upload } from './transfer.js';

export interface PutOptions {
  /** Owner in the guest: `name`, `uid`, `name:group` or `uid:gid`. Default: root. */
  readonly owner?: string | undefined;
  readonly signal: AbortSignal;
  /** Told of each name in a tree that is not UTF-8 and was left out. Default: such a name is an error. */
  readonly onSkipped?: (name: string) => void;
}

const PERMISSION_BITS = 0o777;

/** Copies one host file to a path in the guest: the new name itself, never "into". The old file stays until the new one is whole. */
export async function putFile(client: Client, source: string, target: string, options: PutOptions): Promise<void> {
  const file = await statFile(source);
  const size = file.size;
  async function* messages(): AsyncGenerator<MessageShape<typeof PutFileRequestSchema>> {
    yield create(PutFileRequestSchema, {
      request: {
        case: 'header',
        value: {
          root: Root.IMAGE,
          path: target,
          owner: options.owner ?? '',
          file: { size: BigInt(size), mode: file.mode & 0o7777, mtime: BigInt(Math.floor(file.mtimeMs / 1000)) },
        },
      },
    });
    const checksum = new Checksum();
    // Exactly the size that was announced: a file that grows meanwhile is cut, one that shrinks is an error below.
    const bytes = size === 0 ? [] : createReadStream(source, { end: size - 1, highWaterMark: 2 ** 18 });
    for await (const chunk of rechunk(hostErrors(bytes as AsyncIterable<Buffer>, source))) {
      checksum.update(chunk);
      yield create(PutFileRequestSchema, { request: { case: 'data', value: chunk } });
    }
    if (checksum.trailer.size !== BigInt(size)) {
      throw new VmRunnerError('invalid-input', 'file became shorter while it was copied into the guest', {
        subject: source,
      });
    }
    yield create(PutFileRequestSchema, { request: { case: 'trailer', value: checksum.trailer } });
  }
  await upload(
    client,
    AgentService.method.putFile,
    messages(),
    `copy ${source} to ${target} in the guest`,
    options.signal,
  );
}

/** Copies one regular file of the guest to a path on the host: the new name itself. The old file stays until the new one is whole. */
export async function getFile(client: Client, source: string, target: string, signal: AbortSignal): Promise<void> {
  const doing = `copy ${source} out of the guest`;
  const place = await replaceableFile(target);
  const call = callDownload(client, AgentService.method.getFile, { root: Root.IMAGE, path: source });
  signal.addEventListener('abort', call.cancel, { once: true });
  const temporary = path.join(path.dirname(place), `.${randomBytes(6).toString('hex')}.tmp`);
  let header: FileHeader | undefined;
  let received = 0n;
  const bytes = checked(
    call.messages,
    ({ response }) => {
      switch (response.case) {
        case 'header':
          header = response.value;
          return undefined;
        case 'data':
          received += BigInt(response.value.length);
          if (header === undefined || received > header.size) {
            throw new VmRunnerError('guest-untrusted-data', 'guest sent more than it announced', { subject: source });
          }
          return { data: response.value };
        case 'trailer':
          return { trailer: response.value };
        case 'hole':
        case undefined:
          return undefined;
      }
    },
    doing,
  );
  try {
    await pipeline(guestErrors(bytes, doing), hostFile(temporary));
    if (header === undefined)
      throw new VmRunnerError('agent-protocol', `guest sent no header while trying to ${doing}`);
    await chmod(temporary, header.mode & PERMISSION_BITS);
    const mtime = Number(header.mtime);
    if (mtime > 0 && mtime < 2 ** 40) await utimes(temporary, mtime, mtime);
    await rename(temporary, place);
  } catch (error) {
    // The first error is the reason.
    await rm(temporary, { force: true }).catch(() => undefined);
    if (signal.aborted) throw abortReason(signal);
    throw error instanceof VmRunnerError ? error : fileError('write a file', target, error);
  } finally {
    signal.removeEventListener('abort', call.cancel);
    call.cancel();
  }
}

async function statFile(path: string): Promise<{ size: number; mode: number; mtimeMs: number }> {
  let file;
  try {
    file = await stat(path);
  } catch (cause) {
    throw new VmRunnerError('invalid-input', 'cannot read the file to copy', {
      subject: path,
      hint: 'Check that it exists.',
      cause,
    });
  }
  if (!file.isFile()) throw new VmRunnerError('invalid-input', 'not a regular file', { subject: path });
  return file;
}

function hostFile(path: string): NodeJS.WritableStream {
  return createWriteStream(path, { flags: 'wx', mode: 0o600 });
}

async function* hostErrors(bytes: AsyncIterable<Uint8Array>, path: string): AsyncGenerator<Uint8Array> {
  try {
    yield* bytes;
  } catch (cause) {
    throw fileError('read a file', path, cause);
  }
}

async function* guestErrors(bytes: AsyncIterable<Uint8Array>, doing: string): AsyncGenerator<Uint8Array> {
  try {
    yield* bytes;
  } catch (cause) {
    throw guestError(doing, cause);
  }
}
