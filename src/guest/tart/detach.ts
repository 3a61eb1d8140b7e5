import type { Client } from '@grpc/grpc-js';

import { VmRunnerError } from '../../core/errors.js';
import type { DetachOptions } from '../detach.js';
import { tartExec } from './exec.js';
import { runnable } from './script.js';
import { runShell } from './shell.js';
import { beyondTart } from './status.js';

/** The shell goes at once, and the program belongs to the guest's first process. */
const START = 'nohup "$@" </dev/null >/dev/null 2>&1 & echo $!';

const SIGNAL = 'kill -s "$1" "$2"';

/** Linux's numbers, by the names that every `kill` takes: other systems count differently. */
const NAME_OF_SIGNAL: Readonly<Record<number, string>> = {
  1: 'HUP',
  2: 'INT',
  3: 'QUIT',
  6: 'ABRT',
  9: 'KILL',
  10: 'USR1',
  12: 'USR2',
  13: 'PIPE',
  14: 'ALRM',
  15: 'TERM',
  17: 'CHLD',
  18: 'CONT',
  19: 'STOP',
  20: 'TSTP',
  28: 'WINCH',
};

/** Starts a program that goes on by itself. Its files of a script stay: nobody knows when it ends. */
export async function detach(client: Client, options: DetachOptions, signal: AbortSignal): Promise<number> {
  const { program, env, clearEnv, cwd, timeoutMs } = options;
  if (timeoutMs !== undefined && timeoutMs > 0)
    throw beyondTart('end a program that goes on by itself when its time is over');
  const { argv } = await runnable(client, program, signal);
  let output = '';
  const end = await tartExec(client, {
    argv: ['/bin/sh', '-c', `command -v "$1" >/dev/null || exit 127; ${START}`, 'sh', ...argv],
    signal,
    onStdout: (bytes) => {
      output = (output + Buffer.from(bytes).toString()).slice(0, 64);
    },
    onStderr: () => undefined,
    cwd,
    ...(env === undefined ? {} : { env }),
    ...(clearEnv === undefined ? {} : { clearEnv }),
  });
  if (end.code === 127) {
    const [subject = ''] = argv;
    throw new VmRunnerError('command-not-found', 'command not found in the guest', { subject });
  }
  const pid = Number(output.trim());
  if (end.code !== 0 || !Number.isSafeInteger(pid) || pid <= 0) {
    throw new VmRunnerError('agent-protocol', "guest's shell did not say which process it started");
  }
  return pid;
}

/** Reaches the program alone, not what it started. */
export async function signalProgram(client: Client, pid: number, number: number, signal: AbortSignal): Promise<void> {
  const name = NAME_OF_SIGNAL[number];
  if (name === undefined) throw beyondTart(`send signal ${number}`);
  await runShell(client, `send signal ${number} to process ${pid} of the guest`, SIGNAL, [name, String(pid)], {
    signal,
  });
}
