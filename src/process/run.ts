import { execa } from 'execa';

import { abortReason } from '../core/deadline.js';
import { VmRunnerError } from '../core/errors.js';
import { forgetGroup, rememberGroup, signalGroup } from './groups.js';
import { SYSTEM_PATH } from './system-path.js';

export interface RunOptions {
  readonly cwd?: string;
  /**
   * The whole environment of the program: ours is a CI job's, where secrets are. Default: the system's search path and
   * messages in English.
   */
  readonly env?: Readonly<Record<string, string>>;
  /** Bytes for standard input. Default: none, it reads end of file. */
  readonly input?: string | Uint8Array;
  /** Called with each line of standard output and standard error as it comes. */
  readonly onLine?: (line: string) => void;
  /** Ends the program and everything it started. */
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds. Default: 60 s; every program has an end. */
  readonly timeoutMs?: number;
  /** What to do when the program is not installed. */
  readonly installHint?: string;
}

export interface RunResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

const DEFAULT_ENV = { PATH: SYSTEM_PATH, LC_ALL: 'C.UTF-8' } as const;
const DEFAULT_TIMEOUT_MS = 60_000;
const KEPT_OUTPUT_BYTES = 16 * 2 ** 20;
const TAIL_LINES = 15;

/**
 * Runs a host program to its end and returns what it printed.
 *
 * @param argv the program and its arguments; never a shell line
 * @throws host-tool-missing when it is not installed, host-tool-failed (with the last lines that it printed) when its exit
 * code is not 0 or its time is over, the signal's reason when that aborted.
 */
export async function runProgram(argv: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  const result = await tryProgram(argv, options);
  if (result.exitCode === 0) return result;
  throw new VmRunnerError('host-tool-failed', `${argv[0] ?? ''} ended with exit code ${result.exitCode}`, {
    detail: tail(`${result.stdout}\n${result.stderr}`),
  });
}

/** {@link runProgram} for callers to whom an exit code other than 0 is an answer. */
export async function tryProgram(argv: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  const [program = '', ...args] = argv;
  const timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
  // A group of its own, so that a cancel reaches what the program started (tar, dpkg, apt under mmdebstrap) as well.
  const child = execa(program, args, {
    reject: false,
    detached: true,
    all: true,
    maxBuffer: KEPT_OUTPUT_BYTES,
    stripFinalNewline: false,
    env: options.env ?? DEFAULT_ENV,
    extendEnv: false,
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    ...(options.input === undefined ? { stdin: 'ignore' as const } : { input: options.input }),
  });
  const group = child.pid;
  if (group !== undefined) rememberGroup(group);
  const endGroup = (signal: NodeJS.Signals): void => {
    if (group !== undefined) signalGroup(group, signal);
  };
  let overdue = false;
  let killTimer: NodeJS.Timeout | undefined;
  const stop = (): void => {
    endGroup('SIGTERM');
    killTimer = setTimeout(() => endGroup('SIGKILL'), 3000);
  };
  const timer = setTimeout(() => {
    overdue = true;
    stop();
  }, timeoutMs);
  options.signal?.addEventListener('abort', stop, { once: true });
  if (options.signal?.aborted === true) stop();
  try {
    if (options.onLine !== undefined) {
      for await (const line of child.iterable({ from: 'all' })) options.onLine(line);
    }
    const result = await child;
    if (options.signal?.aborted === true) throw abortReason(options.signal);
    if (overdue) {
      throw new VmRunnerError('host-tool-failed', `${program} did not end within ${Math.round(timeoutMs / 1000)} s`, {
        detail: tail(`${result.stdout}\n${result.stderr}`),
      });
    }
    if (result.exitCode === undefined) {
      if (result.code === 'ENOENT') {
        throw new VmRunnerError('host-tool-missing', 'program not found on this host', {
          subject: program,
          ...(options.installHint === undefined ? {} : { hint: options.installHint }),
          cause: result.cause,
        });
      }
      throw new VmRunnerError('host-tool-failed', result.shortMessage ?? `${program} failed`, {
        detail: tail(`${result.stdout}\n${result.stderr}`),
        cause: result.cause,
      });
    }
    return { exitCode: result.exitCode, stdout: result.stdout, stderr: result.stderr };
  } finally {
    clearTimeout(timer);
    clearTimeout(killTimer);
    options.signal?.removeEventListener('abort', stop);
    if (group !== undefined) forgetGroup(group);
  }
}

function tail(text: string): string {
  return text.trim().split('\n').slice(-TAIL_LINES).join('\n');
}
