import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, readlinkSync } from 'node:fs';
import path from 'node:path';

import { onTestFinished } from 'vitest';

const BIN = path.resolve(import.meta.dirname, '../../dist/cli/index.js');

/** A command line on a terminal of its own, made by script(1). */
export interface OnTerminal {
  /** Everything that the terminal has shown. */
  readonly shown: () => string;
  /** Resolves when it has shown that. */
  readonly shows: (text: RegExp) => Promise<void>;
  readonly type: (keys: string) => void;
  readonly resize: (rows: number, columns: number) => void;
  readonly exitCode: Promise<number | null>;
}

/** @param line for a shell, in which `vm-runner` is the bundle */
export function onTerminal(line: string, home: string): OnTerminal {
  const command = `vm-runner() { ${BIN} "$@"; }; ${line}`;
  const child = spawn('script', ['--quiet', '--return', '--flush', '--command', command, '/dev/null'], {
    env: {
      PATH: process.env['PATH'],
      HOME: process.env['HOME'],
      SHELL: '/bin/bash',
      TERM: 'xterm',
      VM_RUNNER_HOME: home,
    },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
  child.stdin.on('error', () => undefined);
  const closed = once(child, 'close').then(([code]) => code as number | null);
  onTestFinished(async () => {
    child.kill('SIGKILL');
    await closed;
  });
  return {
    shown: () => output,
    shows: async (text) => {
      while (!text.test(output)) {
        const more = await Promise.race([once(child.stdout, 'data').then(() => true), closed.then(() => false)]);
        if (!more && !text.test(output)) throw new Error(`ended without showing ${String(text)}:\n${output}`);
      }
    },
    type: (keys) => child.stdin.write(keys),
    resize: (rows, columns) => {
      execFileSync('stty', ['-F', terminalOf(child.pid), 'rows', String(rows), 'cols', String(columns)]);
    },
    exitCode: closed,
  };
}

/** The terminal that a script(1) has made: its child has it. */
function terminalOf(pid: number | undefined): string {
  const [child] = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ');
  return readlinkSync(`/proc/${child}/fd/0`);
}
