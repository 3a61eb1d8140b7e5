import { randomBytes } from 'node:crypto';

import type { Client } from '@grpc/grpc-js';

import { VmRunnerError } from '../../core/errors.js';
import { MOST_FILE_BYTES, writeWhole, type GetFileOptions } from '../get-file.js';
import { becameShorter, openSource, type PutOptions, type SourceFile } from '../put-file.js';
import { untrusted } from '../untrusted.js';
import { PosixChecksum } from './cksum.js';
import { stat } from './paths.js';
import { pulled } from './pulled.js';
import { absolute, runShell } from './shell.js';

/** Into a file beside the target; prints what arrived, as `cksum` or, without that, `wc` counts it. */
const RECEIVE = `
[ ! -d "$1" ] || directory "$1"
umask 022
mkdir -p "\${1%/*}/" || exit 1
umask 077
cat > "$2" || { rm -f "$2"; exit 1; }
cksum < "$2" 2>/dev/null || echo "? $(($(wc -c < "$2")))"`;

/** Gives it its mode, time and owner, and then its name. */
const PLACE = `
[ "$6" = whole ] || { rm -f "$2"; damaged "$1"; }
chmod "$3" "$2" && { [ -z "$5" ] || chown "$5" "$2"; } && TZ=UTC0 touch -t "$4" "$2" && mv -f "$2" "$1" ||
{ rm -f "$2"; exit 1; }`;

const DROP = 'rm -f "$1"';

const SEND = `
[ -e "$1" ] || [ -h "$1" ] || missing "$1"
[ ! -d "$1" ] || directory "$1"
[ -f "$1" ] || { echo "not a regular file: $1" >&2; exit 1; }
exec cat "$1"`;

const READ_BYTES = 2 ** 18;

/** Copies one host file through `cat`: under another name first, checked there, and then to its own. */
export async function putFile(client: Client, source: string, target: string, options: PutOptions): Promise<void> {
  await using file = await openSource(source);
  const { signal, owner = '' } = options;
  const doing = `copy ${source} to ${target} in the guest`;
  const temporary = `${absolute(target).replace(/\/[^/]*$/, '')}/.${randomBytes(6).toString('hex')}.tmp`;
  const sum = new PosixChecksum();
  let arrived: string;
  try {
    const stdin = bytesOf(file, source, sum);
    arrived = (await runShell(client, doing, RECEIVE, [target, temporary], { signal, stdin })).toString().trim();
  } catch (error) {
    // The first error is the reason; without an agent there is nobody to ask.
    if (!signal.aborted) await runShell(client, doing, DROP, [temporary], { signal }).catch(() => undefined);
    throw error;
  }
  const isWhole = arrived === sum.text || arrived === `? ${file.size}`;
  const args = [target, temporary, file.mode.toString(8), touchTime(file.mtimeNanos), owner, isWhole ? 'whole' : ''];
  await runShell(client, doing, PLACE, args, { signal });
}

/** Copies one regular file of the guest through `cat`; size and mode are asked before. Times are whole seconds. */
export async function getFile(
  client: Client,
  source: string,
  target: string,
  signal: AbortSignal,
  { mostBytes = MOST_FILE_BYTES }: GetFileOptions,
): Promise<void> {
  const doing = `copy ${source} out of the guest`;
  const info = await stat(client, source, { follow: true }, signal);
  if (info.type === 'directory') throw new VmRunnerError('guest-is-directory', 'is a directory', { subject: source });
  if (info.type !== 'file') {
    throw new VmRunnerError('guest-request-refused', 'not a regular file', { subject: source });
  }
  if (info.size > mostBytes) throw untrusted(`a file of more than ${mostBytes} bytes`, source);
  let received = 0;
  const bytes = pulled(signal, (stream) => runShell(client, doing, SEND, [source], stream));
  async function* counted(): AsyncGenerator<Uint8Array> {
    for await (const chunk of bytes) {
      received += chunk.length;
      if (received > info.size) throw untrusted('more than it announced', source);
      yield chunk;
    }
  }
  await writeWhole(target, counted(), () => {
    if (received !== info.size) {
      throw new VmRunnerError('guest-request-refused', 'file changed while it was copied', { subject: source });
    }
    return { mode: info.mode, mtime: Number(info.mtimeNanos / 1_000_000_000n) };
  });
}

async function* bytesOf(file: SourceFile, source: string, sum: PosixChecksum): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < file.size;) {
    const most = Math.min(READ_BYTES, file.size - at);
    const { bytesRead, buffer } = await file.handle.read(Buffer.allocUnsafe(most), 0, most, at);
    if (bytesRead === 0) throw becameShorter(source);
    at += bytesRead;
    const bytes = buffer.subarray(0, bytesRead);
    sum.update(bytes);
    yield bytes;
  }
}

/** `CCYYMMDDhhmm.SS`, which is the only form that every `touch` reads. */
function touchTime(nanos: bigint): string {
  const digits = new Date(Number(nanos / 1_000_000n)).toISOString().replaceAll(/\D/g, '');
  return `${digits.slice(0, 12)}.${digits.slice(12, 14)}`;
}
