import type { Client } from '@grpc/grpc-js';

import { VmRunnerError, type ErrorCode } from '../../core/errors.js';
import { guestText } from '../status.js';
import { tartExec } from './exec.js';

export interface ShellOptions {
  readonly signal: AbortSignal;
  readonly stdin?: AsyncIterable<Uint8Array> | undefined;
  /** Bytes of standard output as they come. Default: they are kept, and returned. */
  readonly onStdout?: (bytes: Uint8Array) => Promise<void> | void;
  /** How much of standard output is kept. Default: 1 MiB. */
  readonly mostBytes?: number;
}

const MOST_KEPT_BYTES = 2 ** 20;
const MOST_ERROR_BYTES = 4096;
/** Exit codes of our scripts, which begin with `refuse`: what a caller needs to tell apart. */
const CODE_OF_EXIT: Readonly<Record<number, ErrorCode>> = {
  81: 'guest-file-missing',
  82: 'guest-is-directory',
  83: 'agent-protocol',
};

/** What every script starts with. The exit codes are those of the table above. */
const PRELUDE = `
LC_ALL=C; export LC_ALL
refuse() { echo "$2: $3" >&2; exit "$1"; }
missing() { refuse 81 'no such file or directory' "$1"; }
directory() { refuse 82 'is a directory' "$1"; }
damaged() { refuse 83 'bytes were lost on the way' "$1"; }
`;

/**
 * Runs a script of ours in the guest with POSIX sh alone, and returns what it printed.
 * @param doing for the sentence when it fails
 */
export async function runShell(
  client: Client,
  doing: string,
  script: string,
  args: readonly string[],
  options: ShellOptions,
): Promise<Buffer> {
  const { signal, stdin, mostBytes = MOST_KEPT_BYTES } = options;
  const kept: Uint8Array[] = [];
  let keptBytes = 0;
  const keep = (bytes: Uint8Array): void => {
    keptBytes += bytes.length;
    if (keptBytes > mostBytes) {
      throw new VmRunnerError('guest-untrusted-data', `guest sent too much while trying to ${doing}`);
    }
    kept.push(bytes);
  };
  let errors = Buffer.alloc(0);
  const end = await tartExec(client, {
    argv: ['/bin/sh', '-c', PRELUDE + script, 'vm-runner', ...args],
    stdin,
    signal,
    onStdout: options.onStdout ?? keep,
    onStderr: (bytes) => {
      if (errors.length < MOST_ERROR_BYTES) errors = Buffer.concat([errors, bytes]).subarray(0, MOST_ERROR_BYTES);
    },
  });
  if (end.code === 0 && end.signal === 0) return Buffer.concat(kept);
  const text = guestText(errors.toString());
  if (/no space left on device|disk quota exceeded/i.test(text)) {
    throw new VmRunnerError('guest-disk-full', `no space left on the guest's disk to ${doing}`);
  }
  throw new VmRunnerError(CODE_OF_EXIT[end.code] ?? 'guest-request-refused', `cannot ${doing}`, {
    hint: text === '' ? `The guest's shell ended with exit code ${end.code}.` : `The guest said: ${text}.`,
  });
}

/** @throws guest-request-refused for a path that a script could take for something else */
export function absolute(path: string): string {
  if (path.startsWith('/') && !path.includes('\0')) return path;
  throw new VmRunnerError('guest-request-refused', 'not an absolute path in the guest', { subject: path });
}
