import type { VmRunnerError } from '../core/errors.js';
import { parseDuration } from '../core/units.js';
import { numberOf, readValue, type ValueKind } from '../core/values.js';
import { isVmName } from '../store/vms.js';
import type { ParsedFlags } from './flags.js';

export const VM_NAME: ValueKind<string> = {
  reason: 'not a name for a VM',
  hint: 'Use at most 40 lower-case letters, digits and dashes.',
  parse: (text) => (isVmName(text) ? text : undefined),
};

/** A point in time, in milliseconds since 1970: how long ago, a date, or seconds since 1970 as docker has it. */
export function moment(now: number): ValueKind<number> {
  return {
    reason: 'not a point in time',
    hint: 'Give how long ago (10m, 1h30m), a date (2026-01-31T12:00), or seconds since 1970.',
    parse: (text) => {
      if (/^\d+(\.\d+)?$/.test(text)) return Number(text) * 1000;
      const ago = parseDuration(text);
      if (ago !== undefined) return now - ago;
      const date = /^\d{4}-\d{2}-\d{2}/.test(text) ? Date.parse(text) : NaN;
      return Number.isNaN(date) ? undefined : date;
    },
  };
}

const LEAST_INTERVAL_MS = 200;

/** Milliseconds between two looks at something. */
export const INTERVAL: ValueKind<number> = {
  reason: 'not a time between samples',
  hint: `Give seconds, or a number with ms, s, m, h or d, of at least ${LEAST_INTERVAL_MS}ms, as in 5s.`,
  parse: (text) => {
    const interval = parseDuration(text);
    return interval !== undefined && interval >= LEAST_INTERVAL_MS ? interval : undefined;
  },
};

const MOST_POOLED = 1000;

/** How many VMs a pool has. */
export const POOL_SIZE = numberOf('VMs', MOST_POOLED);

/** A whole number, or `all` of them. */
export const LINES: ValueKind<number> = {
  reason: 'not a number of lines',
  hint: 'Give a whole number, or all.',
  parse: (text) => (text === 'all' ? Infinity : /^\d{1,9}$/.test(text) ? Number(text) : undefined),
};

/** Reads typed values out of flags; what is wrong is collected, so that all of it is told at once. */
export class Values {
  readonly #flags: ParsedFlags;
  readonly #mistakes: VmRunnerError[];

  constructor(flags: ParsedFlags, mistakes: VmRunnerError[]) {
    this.#flags = flags;
    this.#mistakes = mistakes;
  }

  /** `undefined` when the flag is absent, or wrong. */
  read<T>(kind: ValueKind<T>, name: string): T | undefined {
    const text = this.#flags.value(name);
    if (text === undefined) return undefined;
    try {
      return readValue(kind, text, `--${name}=${text}`);
    } catch (mistake) {
      this.#mistakes.push(mistake as VmRunnerError);
      return undefined;
    }
  }
}
