import type { Client } from '@grpc/grpc-js';

import { VmRunnerError } from '../../core/errors.js';
import { packTree } from '../pack.js';
import type { PutOptions } from '../put-file.js';
import { rechunk } from '../transfer.js';
import type { GetTreeOptions, TreeSelection } from '../tree.js';
import { unpackTree, type Unpacked } from '../unpack.js';
import { Globs } from './glob.js';
import { pulled } from './pulled.js';
import { absolute, runShell } from './shell.js';

/** Directories, then an empty name, then files and links. */
const FIND = `
[ -e "$1" ] || missing "$1"
cd "$1" || exit 1
find . -type d -print0 && printf '\\0' && find . \\( -type f -o -type l \\) -print0`;

/** The names are the script's standard input. Without the variable, macOS adds files with the extended attributes. */
const SEND = `
COPYFILE_DISABLE=1; export COPYFILE_DISABLE
cd "$1" && exec tar -c -f - $2 -T -`;

const RECEIVE = `
umask 022
mkdir -p "$1" && tar -x -p -f - -C "$1" || exit 1
[ -z "$2" ] || chown -R "$2" "$1"`;

const MOST_NAME_BYTES = 64 * 2 ** 20;

/** Copies a host directory through the guest's `tar`. */
export async function putTree(client: Client, source: string, target: string, options: PutOptions): Promise<void> {
  const { signal, owner = '', onSkipped } = options;
  const stdin = rechunk(packTree(source, { onSkipped, plain: true }));
  await runShell(client, `copy ${source} to ${target} in the guest`, RECEIVE, [absolute(target), owner], {
    signal,
    stdin,
  });
}

/**
 * Copies what the globs select through the guest's `find` and `tar`. Directories come with what is in them, so that those
 * which are not empty have the usual mode.
 */
export async function getTree(
  client: Client,
  selection: TreeSelection,
  target: string,
  signal: AbortSignal,
  { limits, onProgress }: GetTreeOptions,
): Promise<Unpacked> {
  const { directory } = selection;
  const doing = `copy ${directory} out of the guest`;
  const globs = new Globs(selection.include, selection.exclude);
  const found = await runShell(client, doing, FIND, [absolute(directory)], { signal, mostBytes: MOST_NAME_BYTES });
  const { wanted, skippedNames } = select(found, globs);
  if (wanted.length === 0) return { files: 0, bytes: 0, skippedLinks: [], skippedNames };
  // busybox knows only lines; others would take a backslash in them for more than it is.
  const needsZeros = wanted.some((name) => /[\n\\]/.test(name));
  const end = needsZeros ? '\0' : '\n';
  const names = Buffer.from(wanted.map((name) => name + end).join(''));
  const archive = pulled(signal, (stream) =>
    runShell(client, doing, SEND, [directory, needsZeros ? '--null' : ''], { ...stream, stdin: rechunk(once(names)) }),
  );
  const totals = { totalEntries: wanted.length, totalBytes: 0 };
  const unpacked = await unpackTree(archive, target, limits, (progress) => onProgress?.({ ...progress, ...totals }));
  return { ...unpacked, skippedNames: [...unpacked.skippedNames, ...skippedNames] };
}

/** What `tar` shall send: files and links that are wanted, and directories that are wanted and hold nothing. */
function select(found: Buffer, globs: Globs): { wanted: readonly string[]; skippedNames: readonly string[] } {
  const records = found.toString('utf8').split('\0');
  const between = records.indexOf('');
  if (between === -1) throw new VmRunnerError('agent-protocol', "guest's find sent something else than names");
  const skippedNames: string[] = [];
  const readable = (names: readonly string[]): readonly string[] =>
    names.filter((name) => {
      if (name.includes('\ufffd')) skippedNames.push(name);
      return name.startsWith('./') && !name.includes('\ufffd');
    });
  const directories = readable(records.slice(0, between));
  const files = readable(records.slice(between + 1));
  const filled = new Set([...directories, ...files].map((name) => name.slice(0, name.lastIndexOf('/'))));
  const candidates = [...directories.filter((name) => !filled.has(name)), ...files];
  // With "./" in front, a name never looks like a flag.
  return { wanted: candidates.filter((name) => globs.wants(name.slice(2))), skippedNames };
}

async function* once(bytes: Buffer): AsyncGenerator<Uint8Array> {
  yield await Promise.resolve(bytes);
}
