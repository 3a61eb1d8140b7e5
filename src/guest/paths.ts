import type { Client } from '@grpc/grpc-js';

import { abortReason } from '../core/deadline.js';
import { VmRunnerError } from '../core/errors.js';
import { callDownload, callUnary } from './call.js';
import { SHORT_CALL_MS, WALK_MS } from './deadlines.js';
import { AgentService } from './gen/vmrunner/agent/v1/agent_pb.js';
import { FileType, type FileInfo } from './gen/vmrunner/agent/v1/files_pb.js';
import { rootOf, type InRoot } from './root.js';
import { guestError } from './status.js';
import { untrusted } from './untrusted.js';

export type PathType =
  | 'file'
  | 'directory'
  | 'symlink'
  | 'fifo'
  | 'socket'
  | 'character-device'
  | 'block-device'
  /** What this version of vm-runner does not know. */
  | 'unknown';

/** What a guest says of one path. */
export interface PathInfo {
  /** Name in its directory; bytes that are not UTF-8 became U+FFFD. */
  readonly name: string;
  readonly nameBytes: Uint8Array;
  readonly type: PathType;
  readonly size: number;
  /** Bytes that it takes on the disk; fewer than its size when it has holes. */
  readonly diskBytes: number;
  /** Permission bits, 0..07777. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Names that it has. */
  readonly links: number;
  /** Nanoseconds since 1970. */
  readonly mtimeNanos: bigint;
  /** Where a symbolic link points to; empty for anything else. */
  readonly linkTarget: string;
}

export interface StatOptions extends InRoot {
  /** Whether a link means what it points to. Default: no. */
  readonly follow?: boolean;
}

export interface MakeDirectoryOptions extends InRoot {
  /** Permission bits. Default: 0755. */
  readonly mode?: number;
  /** Whether missing directories above it are made, and one that is there already is no error. Default: no. */
  readonly parents?: boolean;
  /** `name`, `uid`, `name:group` or `uid:gid`. Default: root. */
  readonly owner?: string | undefined;
}

export interface RemoveOptions extends InRoot {
  /** Whether a directory goes with all that is in it. Default: no. */
  readonly recursive?: boolean;
  /** Whether it is no error when nothing is there. Default: no. */
  readonly ignoreMissing?: boolean;
  readonly signal?: AbortSignal;
}

export interface ListOptions extends InRoot {
  readonly signal?: AbortSignal;
  /** How many names the guest may send. Default: a million. */
  readonly mostEntries?: number;
}

const MOST_ENTRIES = 1_000_000;
/** What Linux and macOS take. */
const LONGEST_NAME_BYTES = 255;

const TYPE_OF: Readonly<Record<FileType, PathType>> = {
  [FileType.UNSPECIFIED]: 'unknown',
  [FileType.REGULAR]: 'file',
  [FileType.DIRECTORY]: 'directory',
  [FileType.SYMLINK]: 'symlink',
  [FileType.FIFO]: 'fifo',
  [FileType.SOCKET]: 'socket',
  [FileType.CHARACTER_DEVICE]: 'character-device',
  [FileType.BLOCK_DEVICE]: 'block-device',
};

export async function stat(client: Client, path: string, options: StatOptions): Promise<PathInfo> {
  const doing = `look at ${path} in the guest`;
  const request = { root: rootOf(options), path, follow: options.follow ?? false };
  try {
    const { info } = await callUnary(client, AgentService.method.stat, request, { timeoutMs: SHORT_CALL_MS });
    if (info === undefined) throw new VmRunnerError('agent-protocol', `guest said nothing while trying to ${doing}`);
    return pathInfo(info);
  } catch (error) {
    throw guestError(doing, error);
  }
}

/** What is in one directory, as it comes and in no particular order. */
export async function* list(client: Client, path: string, options: ListOptions): AsyncGenerator<PathInfo> {
  const { signal, mostEntries = MOST_ENTRIES } = options;
  const doing = `list ${path} in the guest`;
  const request = { root: rootOf(options), path };
  const call = callDownload(client, AgentService.method.list, request, { timeoutMs: WALK_MS });
  signal?.addEventListener('abort', call.cancel, { once: true });
  if (signal?.aborted === true) call.cancel();
  let count = 0;
  try {
    for await (const { entries } of call.messages) {
      count += entries.length;
      if (count > mostEntries) throw untrusted(`more than ${mostEntries} names in a directory`, path);
      for (const entry of entries) {
        if (!isName(entry.name)) throw untrusted('a name that no directory can hold', path);
        yield pathInfo(entry);
      }
    }
  } catch (error) {
    if (signal?.aborted === true) throw abortReason(signal);
    throw guestError(doing, error);
  } finally {
    signal?.removeEventListener('abort', call.cancel);
    call.cancel();
  }
}

/** @returns whether it was not there before */
export async function makeDirectory(client: Client, path: string, options: MakeDirectoryOptions): Promise<boolean> {
  const { mode = 0, parents = false, owner = '' } = options;
  const request = { root: rootOf(options), path, mode, parents, owner };
  try {
    const { made } = await callUnary(client, AgentService.method.makeDir, request, { timeoutMs: SHORT_CALL_MS });
    return made;
  } catch (error) {
    throw guestError(`make the directory ${path} in the guest`, error);
  }
}

/** @returns how many files, links and directories went */
export async function remove(client: Client, path: string, options: RemoveOptions): Promise<number> {
  const { recursive = false, ignoreMissing = false, signal } = options;
  const request = { root: rootOf(options), path, recursive, ignoreMissing };
  const call = { timeoutMs: recursive ? WALK_MS : SHORT_CALL_MS, signal };
  try {
    const { removed } = await callUnary(client, AgentService.method.remove, request, call);
    return Number(removed);
  } catch (error) {
    if (signal?.aborted === true) throw abortReason(signal);
    throw guestError(`remove ${path} in the guest`, error);
  }
}

function pathInfo(info: FileInfo): PathInfo {
  const { name, type, mode, uid, gid } = info;
  return {
    name: Buffer.from(name).toString(),
    nameBytes: name,
    type: TYPE_OF[type] ?? 'unknown',
    size: Number(info.size),
    diskBytes: Number(info.diskBytes),
    mode: mode & 0o7777,
    uid,
    gid,
    links: Number(info.links),
    mtimeNanos: info.mtime * 1_000_000_000n + BigInt(info.mtimeNanos),
    linkTarget: Buffer.from(info.linkTarget).toString(),
  };
}

/** A caller may make a path of it: it must be one name, and not lead elsewhere. */
function isName(name: Uint8Array): boolean {
  if (name.length === 0 || name.length > LONGEST_NAME_BYTES) return false;
  if (name.includes(0) || name.includes(0x2f)) return false;
  return !['.', '..'].includes(Buffer.from(name).toString('latin1'));
}
