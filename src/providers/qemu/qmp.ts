import { connect, type Socket } from 'node:net';

import { abortReason, Deadline } from '../../core/deadline.js';
import { systemCode, VmRunnerError } from '../../core/errors.js';
import { formatDuration } from '../../core/units.js';

export interface QmpOptions {
  readonly signal?: AbortSignal | undefined;
  /** How long QEMU may take for its greeting and for each answer. Default: 5 s. */
  readonly timeoutMs?: number;
}

export interface QmpCommand {
  readonly execute: string;
  readonly arguments?: Readonly<Record<string, unknown>>;
}

/** What is asked of QEMU together with connecting. */
export interface QmpOpening {
  readonly commands: readonly QmpCommand[];
  /** What QEMU must have told by itself as well before it counts as connected, such as `RESUME`. */
  readonly event: string;
}

interface Waiting {
  resolve(value: unknown): void;
  reject(error: VmRunnerError): void;
}

/** No answer of QEMU comes near; what is longer is not QEMU. */
const LONGEST_LINE = 16 * 2 ** 20;

/** A client of QEMU's control socket. One at a time can be connected; the next one waits for its greeting. */
export class QmpClient implements Disposable {
  readonly #socket: Socket;
  readonly #options: QmpOptions;
  readonly #waiting = new Map<number, Waiting>();
  #event: { readonly name: string; readonly waiting: Waiting } | undefined;
  #greeting: Waiting | undefined;
  #nextId = 1;
  #rest = '';
  #ended: VmRunnerError | undefined;

  private constructor(socket: Socket, options: QmpOptions) {
    this.#socket = socket;
    this.#options = options;
    socket.setEncoding('utf8');
    socket.on('data', (text: string) => this.#receive(text));
    socket.on('error', (cause) => this.#end(closed(cause)));
    socket.on('close', () => this.#end(closed()));
  }

  /**
   * Connects, agrees on the protocol and does what was asked together with that. QEMU does not mind to get all of that in one go, before its
   * greeting was read; to take turns costs milliseconds. `undefined` when nobody listens there (yet).
   * @throws vm-died when QEMU hangs up, host-tool-failed when it refuses a command or does not answer in time.
   */
  static async connect(path: string, options: QmpOptions = {}, opening?: QmpOpening): Promise<QmpClient | undefined> {
    const socket = await connectTo(path);
    if (socket === undefined) return undefined;
    const client = new QmpClient(socket, options);
    try {
      socket.cork();
      const answers = [
        client.#wait('its greeting', (waiting) => (client.#greeting = waiting)),
        client.execute('qmp_capabilities'),
        ...(opening === undefined ? [] : client.#open(opening)),
      ];
      socket.uncork();
      await Promise.all(answers);
      return client;
    } catch (error) {
      client[Symbol.dispose]();
      throw error;
    }
  }

  #open({ commands, event: name }: QmpOpening): Promise<unknown>[] {
    return [
      this.#wait(`the event ${name}`, (waiting) => (this.#event = { name, waiting })),
      ...commands.map((command) => this.execute(command.execute, command.arguments)),
    ];
  }

  /**
   * Runs one command and returns what QEMU answers.
   * @throws host-tool-failed with QEMU's sentence when it refuses, or when it does not answer in time.
   */
  async execute(command: string, args?: Readonly<Record<string, unknown>>): Promise<unknown> {
    const id = this.#nextId++;
    try {
      return await this.#wait(`an answer to ${command}`, (waiting) => {
        this.#waiting.set(id, waiting);
        this.#socket.write(`${JSON.stringify({ execute: command, id, ...(args && { arguments: args }) })}\n`);
      });
    } finally {
      this.#waiting.delete(id);
    }
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }

  async #wait(what: string, start: (waiting: Waiting) => void): Promise<unknown> {
    const { timeoutMs = 5000, signal } = this.#options;
    const late = (): VmRunnerError =>
      new VmRunnerError('host-tool-failed', `QEMU did not give ${what} within ${formatDuration(timeoutMs)}`);
    using deadline = new Deadline(timeoutMs, late, signal);
    return await new Promise((resolve, reject) => {
      if (this.#ended !== undefined) {
        reject(this.#ended);
        return;
      }
      const abort = (): void => reject(abortReason(deadline.signal));
      if (deadline.signal.aborted) abort();
      deadline.signal.addEventListener('abort', abort, { once: true });
      start({ resolve, reject });
    });
  }

  #receive(text: string): void {
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop() ?? '';
    for (const line of lines) if (line.trim() !== '') this.#receiveLine(line);
    if (this.#rest.length > LONGEST_LINE) this.#end(notQmp('an endless line'));
  }

  #receiveLine(line: string): void {
    let message: unknown;
    try {
      message = JSON.parse(line);
    } catch {
      this.#end(notQmp(line.slice(0, 200)));
      return;
    }
    if (typeof message !== 'object' || message === null) {
      this.#end(notQmp(line.slice(0, 200)));
      return;
    }
    const fields = message as Readonly<Record<string, unknown>>;
    if ('QMP' in fields) {
      this.#greeting?.resolve(fields['QMP']);
    } else if (typeof fields['event'] === 'string') {
      if (fields['event'] === this.#event?.name) this.#event.waiting.resolve(undefined);
    } else if (typeof fields['id'] === 'number') {
      const waiting = this.#waiting.get(fields['id']);
      if ('error' in fields) waiting?.reject(refusal(fields['error']));
      else waiting?.resolve(fields['return']);
    }
  }

  #end(error: VmRunnerError): void {
    if (this.#ended !== undefined) return;
    this.#ended = error;
    this.#greeting?.reject(error);
    this.#event?.waiting.reject(error);
    for (const waiting of this.#waiting.values()) waiting.reject(error);
    this.#socket.destroy();
  }
}

function connectTo(path: string): Promise<Socket | undefined> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    socket.once('connect', () => resolve(socket));
    socket.once('error', (cause) => {
      // Not there yet, not listening yet, or gone again.
      if (['ENOENT', 'ECONNREFUSED', 'ECONNRESET'].includes(systemCode(cause) ?? '')) resolve(undefined);
      else reject(closed(cause));
    });
  });
}

function closed(cause?: unknown): VmRunnerError {
  return new VmRunnerError('vm-died', 'QEMU closed its control socket', { cause });
}

function notQmp(what: string): VmRunnerError {
  return new VmRunnerError('host-tool-failed', 'QEMU sent something that is not QMP on its control socket', {
    detail: what,
  });
}

function refusal(error: unknown): VmRunnerError {
  const { class: kind, desc } = (error ?? {}) as { readonly class?: unknown; readonly desc?: unknown };
  const text = typeof desc === 'string' ? desc : 'no reason given';
  return new VmRunnerError('host-tool-failed', `QEMU refused a command: ${text}`, {
    ...(typeof kind === 'string' && kind !== 'GenericError' ? { subject: kind } : {}),
  });
}
