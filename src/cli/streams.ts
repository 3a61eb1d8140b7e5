import { writeThrough } from '../core/write-through.js';
import type { ExecOptions, TerminalSize } from '../guest/exec.js';
import type { World } from './world.js';

export interface StreamSettings {
  /** -i: the guest's program reads our standard input. */
  readonly interactive: boolean;
  /** -t: it gets a terminal. */
  readonly tty: boolean;
}

type Streams = Pick<ExecOptions, 'stdin' | 'terminal' | 'onStdout' | 'onStderr'>;

const FALLBACK_SIZE: TerminalSize = { rows: 24, columns: 80 };

/** Connects our standard streams to a program of the guest while `work` runs it. */
export async function withStreams<T>(
  world: World,
  settings: StreamSettings,
  work: (streams: Streams) => Promise<T>,
): Promise<T> {
  const { stdin, stdout, stderr } = world;
  // Raw, so that Ctrl-C and friends are keys for the guest's terminal and no signals for us.
  const raw = settings.tty && settings.interactive && stdin.isTTY;
  if (raw) stdin.setRawMode(true);
  const resizeListeners: (() => void)[] = [];
  const onResize = (): void => resizeListeners.forEach((listener) => listener());
  stdout.on('resize', onResize);
  try {
    return await work({
      stdin: settings.interactive ? (stdin as AsyncIterable<Uint8Array>) : undefined,
      ...(settings.tty
        ? {
            terminal: {
              size: sizeOf(stdout),
              term: world.env['TERM'] ?? 'xterm',
              onResize: (listener) => resizeListeners.push(() => listener(sizeOf(stdout))),
            },
          }
        : {}),
      onStdout: (bytes) => writeThrough(stdout, bytes),
      onStderr: (bytes) => writeThrough(stderr, bytes),
    });
  } finally {
    stdout.off('resize', onResize);
    if (raw) stdin.setRawMode(false);
  }
}

/** Build logs and other pipes have no size. */
function sizeOf(stdout: NodeJS.WriteStream): TerminalSize {
  if (!stdout.isTTY || stdout.rows === 0 || stdout.columns === 0) return FALLBACK_SIZE;
  return { rows: stdout.rows, columns: stdout.columns };
}
