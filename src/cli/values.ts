import path from 'node:path';

import { VmRunnerError } from '../core/errors.js';
import { NETWORK_POLICIES, type NetworkPolicy } from '../core/job.js';
import { parseDuration, parseSize } from '../core/units.js';
import { isVmName } from '../store/vms.js';
import type { ParsedFlags } from './flags.js';

/** Reads typed values out of flags; what is wrong is collected, so that all of it is told at once. */
export class Values {
  readonly #flags: ParsedFlags;
  readonly #mistakes: VmRunnerError[];

  constructor(flags: ParsedFlags, mistakes: VmRunnerError[]) {
    this.#flags = flags;
    this.#mistakes = mistakes;
  }

  /** Milliseconds; `undefined` when the flag is absent. */
  duration(name: string): number | undefined {
    return this.#read(
      name,
      'not a duration',
      'Give seconds, or a number with ms, s, m, h or d, as in 1h30m.',
      (text) => {
        const milliseconds = parseDuration(text);
        return milliseconds !== undefined && milliseconds > 0 ? milliseconds : undefined;
      },
    );
  }

  /** MiB. */
  memory(name: string): number | undefined {
    return this.#read(
      name,
      'not a memory size',
      'Give MiB, or a number with K, M, G or T, of at least 128M, as in 2G.',
      (text) => {
        const bytes = parseSize(text);
        return bytes !== undefined && bytes >= 128 * 2 ** 20 ? Math.round(bytes / 2 ** 20) : undefined;
      },
    );
  }

  cpus(name: string): number | undefined {
    return this.#read(name, 'not a number of processors', 'Give a whole number from 1 to 64.', (text) => {
      const cpus = Number(text);
      return /^\d+$/.test(text) && cpus >= 1 && cpus <= 64 ? cpus : undefined;
    });
  }

  network(name: string): NetworkPolicy | undefined {
    return this.#read(name, 'not a network policy', `Give one of: ${NETWORK_POLICIES.join(', ')}.`, (text) =>
      NETWORK_POLICIES.find((policy) => policy === text),
    );
  }

  vmName(name: string): string | undefined {
    return this.#read(name, 'not a name for a VM', 'Use at most 40 lower-case letters, digits and dashes.', (text) =>
      isVmName(text) ? text : undefined,
    );
  }

  guestPath(name: string): string | undefined {
    return this.#read(name, 'not an absolute path in the guest', 'Begin it with a slash.', (text) =>
      text.startsWith('/') ? path.posix.normalize(text) : undefined,
    );
  }

  #read<T>(name: string, reason: string, hint: string, parse: (text: string) => T | undefined): T | undefined {
    const text = this.#flags.value(name);
    if (text === undefined) return undefined;
    const value = parse(text);
    if (value === undefined)
      this.#mistakes.push(new VmRunnerError('invalid-input', reason, { subject: `--${name}=${text}`, hint }));
    return value;
  }
}
