import type { Client } from '@grpc/grpc-js';

import type { Program } from '../../core/job.js';
import { runShell } from './shell.js';

/** A program as arguments, and what is left of it afterwards. */
export interface Runnable {
  readonly argv: readonly string[];
  readonly remove: () => Promise<void>;
}

const PUT = `
umask 077
directory=$(mktemp -d) || exit 1
cat > "$directory/script" && chmod 755 "$directory" && chmod 755 "$directory/script" && printf %s "$directory" ||
{ rm -rf "$directory"; exit 1; }`;

const REMOVE = 'rm -rf "$1"';

/** What runs a script that does not say how. */
const WITH_SHELL = 'if command -v bash >/dev/null 2>&1; then exec bash -e "$@"; fi; exec sh -e "$@"';

/** A script becomes a file of its own in the guest first, so that nothing it starts can eat it. */
export async function runnable(client: Client, program: Program, signal: AbortSignal): Promise<Runnable> {
  if (program.kind === 'argv') return { argv: program.argv, remove: () => Promise.resolve() };
  const content = Buffer.from(program.content);
  async function* stdin(): AsyncGenerator<Uint8Array> {
    yield await Promise.resolve(content);
  }
  const doing = 'write the script in the guest';
  const directory = (await runShell(client, doing, PUT, [], { signal, stdin: stdin() })).toString();
  const file = `${directory}/script`;
  const hasInterpreter = content.subarray(0, 2).equals(Buffer.from('#!'));
  return {
    argv: [...(hasInterpreter ? [] : ['/bin/sh', '-c', WITH_SHELL, 'sh']), file, ...program.args],
    remove: async () => {
      if (signal.aborted) return;
      // Its own end is what counts; the file goes with the VM.
      await runShell(client, doing, REMOVE, [directory], { signal }).catch(() => undefined);
    },
  };
}
