import { spawn } from 'node:child_process';
import { Duplex } from 'node:stream';

import { systemCode, VmRunnerError } from '../core/errors.js';
import { forgetGroup, rememberGroup, signalGroup } from './groups.js';
import { SYSTEM_PATH } from './system-path.js';

/** A program whose standard input and output are used as one stream of bytes. */
export interface PipedProgram {
  /** Destroy it to end the program; it is destroyed when the program ends. */
  readonly stream: Duplex;
  /** How it ended, once all that it wrote has been read. Never rejects. */
  readonly exited: Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }>;
  /** The end of what the program wrote to standard error. */
  readonly errorTail: () => string;
}

const KEPT_ERROR_CHARACTERS = 4096;
/** Between SIGTERM and SIGKILL. */
const GRACE_MS = 2000;

/**
 * Starts a program that lives as long as its stream, in a group of its own and with nothing of our environment.
 * @throws host-tool-missing when it is not installed, host-tool-failed when it cannot be started.
 */
export async function startPiped(argv: readonly string[]): Promise<PipedProgram> {
  const [program = '', ...args] = argv;
  const env = { PATH: SYSTEM_PATH, LC_ALL: 'C.UTF-8' };
  const child = spawn(program, args, { stdio: 'pipe', detached: true, env });
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', (cause) => reject(startError(program, cause)));
  });
  const group = child.pid;
  if (group === undefined) throw new VmRunnerError('internal', 'a program that was started has no process id');
  rememberGroup(group);
  let errors = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors = (errors + text).slice(-KEPT_ERROR_CHARACTERS);
  });
  const stream = Duplex.from({ readable: child.stdout, writable: child.stdin });
  // Its end is told by the closing of the stream; whoever reads it sees what broke.
  stream.on('error', () => undefined);
  let killTimer: NodeJS.Timeout | undefined;
  stream.once('close', () => {
    signalGroup(group, 'SIGTERM');
    killTimer = setTimeout(() => signalGroup(group, 'SIGKILL'), GRACE_MS);
    if (child.exitCode !== null || child.signalCode !== null) clearTimeout(killTimer);
  });
  child.once('exit', () => {
    clearTimeout(killTimer);
    forgetGroup(group);
  });
  const exited = new Promise<Awaited<PipedProgram['exited']>>((resolve) => {
    // Later than `exit`: what it said last has been read by then.
    child.once('close', (code, signal) => {
      stream.destroy();
      resolve({ code, signal });
    });
  });
  return { stream, exited, errorTail: () => errors.trimEnd() };
}

function startError(program: string, cause: Error): VmRunnerError {
  if (systemCode(cause) === 'ENOENT') {
    return new VmRunnerError('host-tool-missing', 'program not found on this host', { subject: program, cause });
  }
  return new VmRunnerError('host-tool-failed', `cannot start ${program}`, {
    hint: `The system said: ${cause.message}.`,
    cause,
  });
}
