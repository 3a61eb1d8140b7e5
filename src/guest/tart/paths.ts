import type { Client } from '@grpc/grpc-js';

import type { ListOptions, MakeDirectoryOptions, PathInfo, PathType, RemoveOptions, StatOptions } from '../paths.js';
import { untrusted } from '../untrusted.js';
import { absolute, runShell } from './shell.js';

/**
 * Prints what is known of `$1`, and its link's target, each ended by a zero byte. GNU's and busybox's stat are asked first,
 * then BSD's; what follows the name says whether links are followed.
 */
const LOOK = `
look() {
  stat $2 -c '%f %s %u %g %h %Y %b' "$1" 2>/dev/null ||
  stat $2 -f '%Xp %z %u %g %l %m %b' "$1" 2>/dev/null ||
  { echo "no stat program" >&2; exit 1; }
}
show() {
  printf '%s\\0' "$(look "$1" $2)"
  if [ -h "$1" ] && [ -z "$2" ]; then printf '%s\\0' "$(readlink "$1")"; else printf '\\0'; fi
}`;

const STAT = `${LOOK}
[ -e "$1" ] || [ -h "$1" ] || missing "$1"
show "$1" "$2"`;

const LIST = `${LOOK}
[ -e "$1" ] || missing "$1"
[ -d "$1" ] || { echo "not a directory: $1" >&2; exit 1; }
for path in "$1"/* "$1"/.[!.]* "$1"/..?*; do
  if [ -e "$path" ] || [ -h "$path" ]; then printf '%s\\0' "\${path##*/}"; show "$path" ''; fi
done`;

const MAKE = `
made=1
[ -d "$1" ] && made=0
if [ "$3" = parents ]; then mkdir -p "$1" || exit 1; else mkdir "$1" || exit 1; fi
if [ $made = 1 ]; then
  chmod "$2" "$1" || exit 1
  [ -z "$4" ] || chown "$4" "$1" || exit 1
fi
echo $made`;

const REMOVE = `
if [ ! -e "$1" ] && [ ! -h "$1" ]; then
  [ "$3" = ignore ] && { echo 0; exit 0; }
  missing "$1"
fi
if [ "$2" = recursive ]; then
  count=$(find "$1" -exec sh -c 'for path; do echo; done' sh {} + | wc -l) && rm -rf "$1" && echo $count
elif [ -d "$1" ] && [ ! -h "$1" ]; then rmdir "$1" && echo 1
else rm -f "$1" && echo 1
fi`;

const MOST_LIST_BYTES = 64 * 2 ** 20;
const TYPE_OF_BITS: Readonly<Record<number, PathType>> = {
  0o14: 'socket',
  0o12: 'symlink',
  0o10: 'file',
  0o6: 'block-device',
  0o4: 'directory',
  0o2: 'character-device',
  0o1: 'fifo',
};

export async function stat(client: Client, path: string, options: StatOptions, signal: AbortSignal): Promise<PathInfo> {
  const doing = `look at ${path} in the guest`;
  const args = [absolute(path), options.follow === true ? '-L' : ''];
  const [fields = '', target = ''] = split(await runShell(client, doing, STAT, args, { signal }));
  return pathInfo(Buffer.from(path.split('/').at(-1) ?? ''), fields, target);
}

export async function* list(
  client: Client,
  path: string,
  options: ListOptions,
  signal: AbortSignal,
): AsyncGenerator<PathInfo> {
  const output = await runShell(client, `list ${path} in the guest`, LIST, [absolute(path)], {
    signal,
    mostBytes: MOST_LIST_BYTES,
  });
  const records = split(output);
  const most = options.mostEntries ?? Infinity;
  if (records.length / 3 > most) throw untrusted(`more than ${most} names in a directory`, path);
  for (let at = 0; at + 2 < records.length; at += 3) {
    yield pathInfo(Buffer.from(records[at] ?? '', 'latin1'), records[at + 1] ?? '', records[at + 2] ?? '');
  }
}

export async function makeDirectory(
  client: Client,
  path: string,
  { mode = 0o755, parents = false, owner = '' }: MakeDirectoryOptions,
  signal: AbortSignal,
): Promise<boolean> {
  const args = [absolute(path), mode.toString(8), parents ? 'parents' : '', owner];
  const output = await runShell(client, `make the directory ${path} in the guest`, MAKE, args, { signal });
  return output.toString().trim() === '1';
}

export async function remove(
  client: Client,
  path: string,
  { recursive = false, ignoreMissing = false }: RemoveOptions,
  signal: AbortSignal,
): Promise<number> {
  const args = [absolute(path), recursive ? 'recursive' : '', ignoreMissing ? 'ignore' : ''];
  const output = await runShell(client, `remove ${path} in the guest`, REMOVE, args, { signal });
  return Number(output.toString().trim());
}

/** Names are bytes, so all is read as such. */
function split(output: Buffer): readonly string[] {
  return output.toString('latin1').split('\0');
}

function pathInfo(name: Buffer, fields: string, target: string): PathInfo {
  const match = /^([0-9a-fA-F]{1,8}) (\d+) (\d+) (\d+) (\d+) (-?\d+) (\d+)$/.exec(fields);
  if (match === null) throw untrusted('something else than what is known of a path', fields);
  const [bits = 0, size = 0, uid = 0, gid = 0, links = 0, mtime = 0, blocks = 0] = match
    .slice(1)
    .map((field, index) => (index === 0 ? Number.parseInt(field, 16) : Number(field)));
  return {
    name: name.toString(),
    nameBytes: name,
    type: TYPE_OF_BITS[bits >> 12] ?? 'unknown',
    size,
    diskBytes: blocks * 512,
    mode: bits & 0o7777,
    uid,
    gid,
    links,
    mtimeNanos: BigInt(mtime) * 1_000_000_000n,
    linkTarget: Buffer.from(target, 'latin1').toString(),
  };
}
