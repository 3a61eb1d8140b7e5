import { spawn } from 'node:child_process';

/** One start of a driver program, and how it ended. */
export interface DriverCall {
  /** `config`, `prepare`, `run build_script`, `cleanup`. */
  readonly name: string;
  readonly env: Readonly<Record<string, string>>;
  /** `null` when a signal ended it, or when it could not be killed. */
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly durationMs: number;
  /** How long something held its output pipes open after it had ended. The real Runner waits for that. */
  readonly pipesHeldMs: number;
}

export interface DriverCallOptions {
  readonly name: string;
  readonly argv: readonly string[];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  /** The context of the call: when it is done, the group gets SIGTERM, and SIGKILL after the grace. */
  readonly signal: AbortSignal | undefined;
  readonly gracefulKillTimeoutMs: number;
  readonly forceKillTimeoutMs: number;
  readonly onOutput: (text: string, stream: 'stdout' | 'stderr') => void;
}

/** Starts a driver program as helpers/process of the Runner does: in a process group of its own, waiting for its pipes. */
export function callDriver(options: DriverCallOptions): Promise<DriverCall> {
  const { name, argv, cwd, env, signal, onOutput } = options;
  const [program = '', ...args] = argv;
  return new Promise((resolve, reject) => {
    const start = performance.now();
    const child = spawn(program, args, { cwd, env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
    const output = { stdout: '', stderr: '' };
    const timers: NodeJS.Timeout[] = [];
    let endedAt = start;
    for (const stream of ['stdout', 'stderr'] as const) {
      child[stream].setEncoding('utf8').on('data', (text: string) => {
        output[stream] += text;
        onOutput(text, stream);
      });
    }
    const killGroup = (number: NodeJS.Signals): void => {
      try {
        if (child.pid !== undefined) process.kill(-child.pid, number);
      } catch {
        // The whole group has ended by itself.
      }
    };
    const finish = (exitCode: number | null): void => {
      signal?.removeEventListener('abort', terminate);
      for (const timer of timers) clearTimeout(timer);
      const now = performance.now();
      resolve({ name, env, exitCode, ...output, durationMs: now - start, pipesHeldMs: now - endedAt });
    };
    const terminate = (): void => {
      killGroup('SIGTERM');
      const kill = (): void => {
        killGroup('SIGKILL');
        timers.push(setTimeout(() => finish(null), options.forceKillTimeoutMs));
      };
      timers.push(setTimeout(kill, options.gracefulKillTimeoutMs));
    };
    child.once('error', reject);
    child.once('exit', () => (endedAt = performance.now()));
    child.once('close', (exitCode) => finish(exitCode));
    signal?.addEventListener('abort', terminate, { once: true });
    if (signal?.aborted === true) terminate();
  });
}
