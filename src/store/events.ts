import { open, rename, stat } from 'node:fs/promises';

import { fileError, systemCode, toVmRunnerError } from '../core/errors.js';
import type { Log } from '../core/log.js';
import { printable } from '../core/printable.js';
import type { ProcessTable } from '../core/process-identity.js';
import { tryLock } from './lock.js';
import type { StorePaths } from './paths.js';

/** What can happen on a host, by what it happens to. */
export const EVENT_ACTIONS = {
  vm: [
    ...['pooled', 'claimed', 'waiting', 'admitted', 'created', 'ready', 'failed'],
    ...['program-started', 'program-ended', 'program-detached', 'died', 'kept', 'destroyed', 'reaped'],
  ],
  image: ['built', 'pulled', 'imported', 'made', 'removed'],
  template: ['made', 'removed'],
  store: ['collected'],
} as const satisfies Record<string, readonly string[]>;

export type EventType = keyof typeof EVENT_ACTIONS;

type Detail = string | number | undefined;

/** One thing that happened. Holds no secrets: no arguments, no environment, no output. */
export interface HostEvent {
  /** Milliseconds since 1970. */
  readonly time: number;
  /** `vm`, `image`, `template` or `store`; whatever a newer vm-runner wrote. */
  readonly type: string;
  readonly action: string;
  /** Of the VM or the image, key of the template; empty for the store. */
  readonly name: string;
  readonly attributes: Readonly<Record<string, string | number>>;
}

/** A line must go out in one write, which the kernel keeps whole among those of other processes. */
const MOST_LINE_BYTES = 4095;
const MOST_TEXT = 200;
/** Some twenty thousand events; the file before it is kept as well. */
const MOST_BYTES = 4 * 2 ** 20;
const NEWLINE = 10;

/** The log of what happened on this host: one line of JSON each, appended by all processes of vm-runner. */
export class EventLog {
  readonly #paths: Pick<StorePaths, 'events' | 'eventsBefore' | 'locks'>;
  readonly #processes: ProcessTable;
  readonly #now: () => number;
  readonly #mostBytes: number;
  #warned = false;

  /** @param mostBytes how long the file may become before a new one is begun; default 4 MiB */
  constructor(
    paths: Pick<StorePaths, 'events' | 'eventsBefore' | 'locks'>,
    processes: ProcessTable,
    { now = Date.now, mostBytes = MOST_BYTES } = {},
  ) {
    this.#paths = paths;
    this.#processes = processes;
    this.#now = now;
    this.#mostBytes = mostBytes;
  }

  /** Writes an event down. One that cannot be written harms no job: it is warned about, once for each process. */
  async add<T extends EventType>(
    type: T,
    action: (typeof EVENT_ACTIONS)[T][number],
    name: string,
    attributes: Readonly<Record<string, Detail>> = {},
    log?: Pick<Log, 'warn'>,
  ): Promise<void> {
    try {
      await this.#append(lineOf({ time: this.#now(), type, action, name, attributes: cleaned(attributes) }));
    } catch (error) {
      if (!this.#warned) log?.warn(`events are lost: ${toVmRunnerError(error).message}`);
      this.#warned = true;
    }
  }

  async #append(line: string): Promise<void> {
    const { events } = this.#paths;
    try {
      const file = await open(events, 'a+', 0o600);
      try {
        const { size } = await file.stat();
        const last = size === 0 ? NEWLINE : (await file.read(Buffer.alloc(1), 0, 1, size - 1)).buffer[0];
        // What a full disk let through of the line before must not spoil this one.
        await file.write(last === NEWLINE ? line : `\n${line}`);
        if (size >= this.#mostBytes) await this.#rotate();
      } finally {
        await file.close();
      }
    } catch (cause) {
      throw fileError('write an event', events, cause);
    }
  }

  /** One at a time, and whoever comes second finds a short file. */
  async #rotate(): Promise<void> {
    const { events, eventsBefore, locks } = this.#paths;
    const lock = await tryLock(`${locks}/events`, this.#processes);
    if (lock === undefined) return;
    try {
      if ((await stat(events)).size >= this.#mostBytes) await rename(events, eventsBefore);
    } catch (cause) {
      if (systemCode(cause) !== 'ENOENT') throw cause;
    } finally {
      await lock.release();
    }
  }
}

function lineOf(event: HostEvent): string {
  const line = `${JSON.stringify(event)}\n`;
  if (Buffer.byteLength(line) <= MOST_LINE_BYTES) return line;
  return `${JSON.stringify({ ...event, attributes: {} })}\n`;
}

/** Words of guests and registries, made harmless and short. */
function cleaned(attributes: Readonly<Record<string, Detail>>): Record<string, string | number> {
  const clean: Record<string, string | number> = {};
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== undefined) clean[key] = typeof value === 'number' ? value : cut(value);
  }
  return clean;
}

function cut(text: string): string {
  const line = printable(text).replaceAll(/\s+/g, ' ').trim();
  return line.length <= MOST_TEXT ? line : `${line.slice(0, MOST_TEXT - 1)}…`;
}

/** An event from a line of the log; `undefined` when it is none, as when it was only written by half. */
export function parseEvent(line: string): HostEvent | undefined {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null) return undefined;
  const { time, type, action, name, attributes } = value as Partial<Record<keyof HostEvent, unknown>>;
  if (typeof time !== 'number' || typeof type !== 'string') return undefined;
  if (typeof action !== 'string' || typeof name !== 'string') return undefined;
  const known = Object.entries(typeof attributes === 'object' && attributes !== null ? attributes : {}).filter(
    (entry): entry is [string, string | number] => typeof entry[1] === 'string' || typeof entry[1] === 'number',
  );
  return { time, type, action, name, attributes: Object.fromEntries(known) };
}
