import { mkdir } from 'node:fs/promises';
import path from 'node:path';

import { expect, onTestFinished } from 'vitest';

import { temporaryDirectory } from '../temporary-directory.js';
import { leftovers, processesOf } from './leftovers.js';
import { runProgram, type Fault, type ProgramResult } from './program.js';

/** A week and more: whatever waits for its time to be over has waited long enough. */
const LATER = `clock:${8 * 86_400_000}` as const;

/** A directory with a store in it, and jobs on it whose VMs are agents on this machine. */
export interface FaultyHost {
  readonly directory: string;
  readonly home: string;
  /** The program with a fault in its way. */
  readonly run: (args: readonly string[], fault?: Fault) => Promise<ProgramResult>;
  /** What it does to the store, in order. */
  readonly operations: (args: readonly string[], match?: RegExp) => Promise<readonly string[]>;
  /** Collects garbage as it is done a week later, and expects that nothing is left. */
  readonly expectNoLeak: (about?: string) => Promise<void>;
  /** A job that must work now. */
  readonly expectNextJob: (about?: string) => Promise<void>;
}

/** A job that writes a file and ends with an exit code of its own. */
export const JOB = ['run', '-q', '--provider', 'fake', '--name', 'vm-job', '--', 'sh', '-c', 'echo out; exit 3'];

export async function faultyHost(directory?: string): Promise<FaultyHost> {
  const at = directory ?? path.join(await temporaryDirectory(), 'd');
  await mkdir(at, { recursive: true });
  const home = path.join(at, 'home');
  onTestFinished(() => {
    // A test that failed leaves its VMs; their command lines name this store, which is the test's own.
    for (const line of processesOf(home)) process.kill(Number.parseInt(line, 10), 'SIGKILL');
  });
  const run: FaultyHost['run'] = (args, fault) => runProgram(args, { directory: at, fault });
  return {
    directory: at,
    home,
    run,
    operations: async (args, match) => {
      const fault = match === undefined ? undefined : ({ match, at: 0, act: 'kill' } as const);
      return (await runProgram(args, { directory: at, listed: true, fault })).operations;
    },
    expectNoLeak: async (about = '') => {
      const { exitCode, stderr } = await run(['gc'], { act: LATER });
      expect({ exitCode, stderr: stderr.replaceAll(/^vm-runner: (removed|Logs of) .*\n/gm, '') }, about).toEqual({
        exitCode: 0,
        stderr: '',
      });
      expect(leftovers(home), about).toEqual([]);
    },
    expectNextJob: async (about = '') => {
      const { exitCode, stdout, stderr } = await run(JOB);
      expect({ exitCode, stdout }, `${about}\n${stderr}`).toEqual({ exitCode: 3, stdout: 'out\n' });
    },
  };
}

/** For a test of many steps. */
export const SWEEP = { timeout: process.env['FAULTS'] === 'all' ? 3_600_000 : 240_000 };

/** Which of `count` steps are tried: all of them with FAULTS=all, else those of a spread that is the same every time. */
export function steps(count: number, most: number): readonly number[] {
  const all = Array.from({ length: count }, (_, index) => index + 1);
  if (process.env['FAULTS'] === 'all' || count <= most) return all;
  return all.filter((step) => Math.floor((step * most) / count) !== Math.floor(((step - 1) * most) / count));
}

/** The codes of the errors that a program told; a warning is none. */
export function errorsIn(stderr: string): string[] {
  return [...stderr.matchAll(/^vm-runner: error\[([a-z-]+)\]: /gm)].map((match) => match[1] ?? '');
}

/** Whether the program came so far that it could say something: what Node itself cannot have is not told by us. */
export function isOurs(stderr: string): boolean {
  return /^vm-runner: /m.test(stderr);
}
