import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';

import { CommandReader } from './commands.js';
import { killTree } from './processes.js';

/** actions/runner, ProcessInvoker.cs: how long a cancelled step has after SIGINT, and after SIGTERM. */
const AFTER_INTERRUPT_MS = 7500;
const AFTER_TERMINATE_MS = 2500;
/** How long its streams may stay open after the process has ended. */
const HELD_STREAMS_MS = 5000;

export interface StepResult {
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
  /** Standard output and standard error, as they came. */
  readonly output: string;
  readonly reader: CommandReader;
  /** Whether something kept the streams of the step for too long after it had ended. */
  readonly heldStreams: boolean;
  /** What a cancel took: the last of SIGINT, SIGTERM, SIGKILL that was sent, and after how long the process was gone. */
  readonly cancelled: { readonly last: 'SIGINT' | 'SIGTERM' | 'SIGKILL'; readonly afterMs: number } | undefined;
}

/** One process of a step, run as the runner runs it: streams piped, no terminal, no input, not a group of its own. */
export class StepProcess {
  readonly #child: ChildProcess;
  readonly #reader = new CommandReader();
  readonly #exited: Promise<readonly [number | null, NodeJS.Signals | null]>;
  readonly #closed: Promise<unknown>;
  #output = '';
  #cancelled: StepResult['cancelled'];

  constructor(
    argv: readonly string[],
    options: { readonly cwd: string; readonly env: Readonly<Record<string, string>> },
  ) {
    const [program = '', ...args] = argv;
    this.#child = spawn(program, args, { ...options, env: { ...options.env }, stdio: ['ignore', 'pipe', 'pipe'] });
    this.#exited = once(this.#child, 'exit') as Promise<[number | null, NodeJS.Signals | null]>;
    this.#closed = once(this.#child, 'close');
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        this.#output += text;
        this.#reader.write(text);
      });
    }
  }

  /** Resolves when the log of the step holds the text. */
  async said(text: string): Promise<void> {
    while (!this.#output.includes(text)) {
      if (this.#child.exitCode !== null || this.#child.signalCode !== null) {
        throw new Error(`the step ended without saying ${JSON.stringify(text)}:\n${this.#output}`);
      }
      await sleep(20);
    }
  }

  /** Ends the step as a cancelled workflow does. */
  async cancel(): Promise<void> {
    const started = performance.now();
    const pid = this.#child.pid ?? 0;
    const gone = async (milliseconds: number): Promise<boolean> =>
      Promise.race([this.#exited.then(() => true), sleep(milliseconds, false)]);
    const done = (last: 'SIGINT' | 'SIGTERM' | 'SIGKILL'): void => {
      this.#cancelled = { last, afterMs: performance.now() - started };
    };
    // To this one process and not to its group.
    process.kill(pid, 'SIGINT');
    if (await gone(AFTER_INTERRUPT_MS)) {
      done('SIGINT');
      return;
    }
    process.kill(pid, 'SIGTERM');
    if (await gone(AFTER_TERMINATE_MS)) {
      done('SIGTERM');
      return;
    }
    killTree(pid);
    await this.#exited;
    done('SIGKILL');
  }

  /** Kills the step without a word, as the machine's memory manager might. */
  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  async end(): Promise<StepResult> {
    const [exitCode, signal] = await this.#exited;
    const heldStreams = await Promise.race([this.#closed.then(() => false), sleep(HELD_STREAMS_MS, true)]);
    if (heldStreams) {
      this.#child.stdout?.destroy();
      this.#child.stderr?.destroy();
    }
    // The cancel notes its own end in the same turn as the process's.
    await sleep(0);
    this.#reader.end();
    return { exitCode, signal, output: this.#output, reader: this.#reader, heldStreams, cancelled: this.#cancelled };
  }
}
