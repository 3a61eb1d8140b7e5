import { VmRunnerError } from './errors.js';
import {
  NETWORK_POLICIES,
  PULL_POLICIES,
  TEMPLATE_POLICIES,
  type NetworkPolicy,
  type PullPolicy,
  type TemplatePolicy,
} from './job.js';
import { parseDuration, parseSize } from './units.js';

/** How a setting is read from text, and what is said when it cannot be: the same for a flag, an input and an argument. */
export interface ValueKind<T> {
  readonly reason: string;
  readonly hint: string;
  /** `undefined` when the text is no such value. */
  readonly parse: (text: string) => T | undefined;
}

const MIB = 2 ** 20;
/** A Linux kernel with our initramfs does not come up in less. */
const LEAST_MEMORY_MIB = 128;
/** A guest that starts writes some MiB by itself. */
const LEAST_DISK_MIB = 64;
const MOST_CPUS = 64;

/** How many there are of something, one at least. @param what in the plural */
export function numberOf(what: string, most: number): ValueKind<number> {
  return {
    reason: `not a number of ${what}`,
    hint: `Give a whole number from 1 to ${most}.`,
    parse: (text) => {
      const number = Number(text);
      return /^\d+$/.test(text) && number >= 1 && number <= most ? number : undefined;
    },
  };
}

/** Number of virtual processors. */
export const CPUS = numberOf('processors', MOST_CPUS);

/** MiB. */
export const MEMORY: ValueKind<number> = {
  reason: 'not a memory size',
  hint: `Give MiB, or a number with K, M, G or T, of at least ${LEAST_MEMORY_MIB}M, as in 2G.`,
  parse: (text) => {
    const bytes = parseSize(text);
    return bytes !== undefined && bytes >= LEAST_MEMORY_MIB * MIB ? Math.round(bytes / MIB) : undefined;
  },
};

/** MiB. */
export const DISK: ValueKind<number> = {
  reason: 'not a disk size',
  hint: `Give MiB, or a number with K, M, G or T, of at least ${LEAST_DISK_MIB}M, as in 8G.`,
  parse: (text) => {
    const bytes = parseSize(text);
    return bytes !== undefined && bytes >= LEAST_DISK_MIB * MIB ? Math.round(bytes / MIB) : undefined;
  },
};

/** Milliseconds, more than none. */
export const DURATION: ValueKind<number> = {
  reason: 'not a duration',
  hint: 'Give seconds, or a number with ms, s, m, h or d, as in 1h30m.',
  parse: (text) => {
    const milliseconds = parseDuration(text);
    return milliseconds !== undefined && milliseconds > 0 ? milliseconds : undefined;
  },
};

/** Milliseconds; 0 is not at all. */
export const WAIT: ValueKind<number> = {
  reason: DURATION.reason,
  hint: 'Give 0, seconds, or a number with ms, s, m, h or d, as in 1h30m.',
  parse: parseDuration,
};

export const NETWORK: ValueKind<NetworkPolicy> = {
  reason: 'not a network policy',
  hint: `Give one of: ${NETWORK_POLICIES.join(', ')}.`,
  parse: (text) => NETWORK_POLICIES.find((policy) => policy === text),
};

export const PULL: ValueKind<PullPolicy> = {
  reason: 'not a pull policy',
  hint: `Give one of: ${PULL_POLICIES.join(', ')}.`,
  parse: (text) => PULL_POLICIES.find((policy) => policy === text),
};

export const TEMPLATE: ValueKind<TemplatePolicy> = {
  reason: 'not a template policy',
  hint: `Give one of: ${TEMPLATE_POLICIES.join(', ')}.`,
  parse: (text) => TEMPLATE_POLICIES.find((policy) => policy === text),
};

export const USER: ValueKind<string> = {
  reason: 'not a user of the guest',
  hint: 'Give name, uid, name:group or uid:gid; leave it out for root.',
  parse: (text) => (/^[^:\s]+(:[^:\s]+)?$/.test(text) ? text : undefined),
};

export const GUEST_PATH: ValueKind<string> = {
  reason: 'not an absolute path in the guest',
  hint: 'Begin it with a slash.',
  parse: (text) => (text.startsWith('/') ? text : undefined),
};

/**
 * @param subject how the reader wrote it: `--cpus=none`
 * @throws invalid-input
 */
export function readValue<T>(kind: ValueKind<T>, text: string, subject: string): T {
  const value = kind.parse(text);
  if (value !== undefined) return value;
  throw new VmRunnerError('invalid-input', kind.reason, { subject, hint: kind.hint });
}
