import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

import { onTestFinished } from 'vitest';

const ROOT = path.resolve(import.meta.dirname, '../../..');
const INJECT = pathToFileURL(path.join(import.meta.dirname, 'inject.mjs')).href;
const BUNDLES = { cli: 'dist/cli/index.js', gitlab: 'dist/gitlab/index.js' } as const;

/** What strikes a program, and at which of its operations on files of the test and its starts of programs. */
export interface Fault {
  /** Which operations count: what is written as `rename home/vms/vm-1/vm.json` or `spawn qemu-img`. Default: all. */
  readonly match?: RegExp;
  /** The how manieth of these, from 1. Default: 1. */
  readonly at?: number | 'all';
  /**
   * `kill`: kill -9 before it. `torn`: kill -9 when half of it is written. `clock:MS`: from then on the clock is so much off.
   * Else it fails with that code of the system.
   */
  readonly act: 'kill' | 'torn' | `clock:${number}` | 'ENOSPC' | 'EIO' | 'EACCES' | 'EROFS' | 'EMFILE' | 'EAGAIN';
}

export interface ProgramOptions {
  /** Operations below it count; the store is `home` in it. */
  readonly directory: string;
  readonly bundle?: keyof typeof BUNDLES;
  readonly fault?: Fault | undefined;
  /** Whether the result tells what operations there were. */
  readonly listed?: boolean;
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: string | Uint8Array;
  /** Programs and arguments before it: `prlimit`, `setpriv`. */
  readonly under?: readonly string[];
}

export interface ProgramResult {
  /** `undefined` when a signal ended it. */
  readonly exitCode: number | undefined;
  readonly killed: boolean;
  readonly stdout: string;
  readonly stderr: string;
  /** One line for each operation, in order. */
  readonly operations: readonly string[];
}

export interface RunningProgram {
  readonly child: ChildProcess;
  readonly result: Promise<ProgramResult>;
  /** Resolves when standard output holds the text; rejects when the program ends before. */
  readonly said: (text: string) => Promise<void>;
}

let lists = 0;

/** Starts a committed bundle as a user would, with a fault in its way. */
export function startProgram(args: readonly string[], options: ProgramOptions): RunningProgram {
  const { directory, bundle = 'cli', fault, listed = false, env, input, under = [] } = options;
  // Beside the directory, which may be full or read-only.
  const list = `${directory}.operations.${(lists += 1)}`;
  const faultEnv = {
    FAULT_BELOW: directory,
    ...(listed ? { FAULT_LIST: list } : {}),
    ...(fault === undefined
      ? {}
      : { FAULT_MATCH: fault.match?.source ?? '', FAULT_AT: String(fault.at ?? 1), FAULT_ACT: fault.act }),
  };
  const [program = '', ...rest] = [
    ...[...under, process.execPath, '--import', INJECT],
    ...[path.join(ROOT, BUNDLES[bundle]), ...args],
  ];
  const child = spawn(program, rest, {
    cwd: ROOT,
    env: {
      ...{ PATH: process.env['PATH'], HOME: directory, VM_RUNNER_HOME: path.join(directory, 'home') },
      ...faultEnv,
      ...env,
    },
    stdio: 'pipe',
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  child.stdin.on('error', () => undefined);
  child.stdin.end(input);
  const result = (async (): Promise<ProgramResult> => {
    const [exitCode, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null];
    const operations = listed ? (await readFile(list, 'utf8').catch(() => '')).split('\n').slice(0, -1) : [];
    await rm(list, { force: true });
    return { exitCode: exitCode ?? undefined, killed: signal === 'SIGKILL', stdout, stderr, operations };
  })();
  const said = async (text: string): Promise<void> => {
    while (!stdout.includes(text)) {
      const more = await Promise.race([once(child.stdout, 'data').then(() => true), result.then(() => false)]);
      if (!more && !stdout.includes(text)) throw new Error(`ended without saying ${text}:\n${stdout}\n${stderr}`);
    }
  };
  return { child, result, said };
}

export function runProgram(args: readonly string[], options: ProgramOptions): Promise<ProgramResult> {
  return startProgram(args, options).result;
}
