import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';

const BUNDLE = path.resolve(import.meta.dirname, '../../dist/cli/index.js');

export interface CommandResult {
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CommandOptions {
  readonly home: string;
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: string | Uint8Array;
}

export interface RunningCommand {
  readonly child: ChildProcess;
  readonly result: Promise<CommandResult>;
  /** Resolves when standard output holds the text. */
  readonly said: (text: string) => Promise<void>;
}

/** Starts the committed bundle as a user would: a real process with a store of its own. */
export function startVmRunner(args: readonly string[], options: CommandOptions): RunningCommand {
  // By its first line: Node 20 takes an --env-file behind the script for its own, unless dashes come before the script.
  const child = spawn(BUNDLE, [...args], {
    cwd: options.cwd,
    env: { PATH: process.env['PATH'], HOME: process.env['HOME'], VM_RUNNER_HOME: options.home, ...options.env },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  // A program that ends without reading its input is no failure of the test.
  child.stdin.on('error', () => undefined);
  child.stdin.end(options.input);
  const result = once(child, 'close').then(([exitCode]) => ({ exitCode: exitCode as number | null, stdout, stderr }));
  const said = async (text: string): Promise<void> => {
    while (!stdout.includes(text)) {
      const more = await Promise.race([once(child.stdout, 'data').then(() => true), result.then(() => false)]);
      if (!more && !stdout.includes(text))
        throw new Error(`ended without saying ${JSON.stringify(text)}:\n${stdout}\n${stderr}`);
    }
  };
  return { child, result, said };
}

export function vmRunner(args: readonly string[], options: CommandOptions): Promise<CommandResult> {
  return startVmRunner(args, options).result;
}
