import type { VmRunnerError } from '../core/errors.js';
import { readValue, type ValueKind } from '../core/values.js';
import { isVmName } from '../store/vms.js';
import type { ParsedFlags } from './flags.js';

export const VM_NAME: ValueKind<string> = {
  reason: 'not a name for a VM',
  hint: 'Use at most 40 lower-case letters, digits and dashes.',
  parse: (text) => (isVmName(text) ? text : undefined),
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
