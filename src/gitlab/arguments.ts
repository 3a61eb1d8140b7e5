import { parseArgs } from 'node:util';

import { VmRunnerError } from '../core/errors.js';
import { readValue, type ValueKind } from '../core/values.js';

/**
 * Flags that the operator gives a stage in config.toml (`prepare_args = ["--memory", "4G"]`). Every flag takes a value.
 * Mistakes are collected, so that all of them are told at once.
 */
export class Arguments {
  readonly mistakes: VmRunnerError[] = [];
  readonly #values = new Map<string, string>();

  /**
   * @param place where they stand in config.toml, for the sentences: `prepare_args`
   * @param names the flags that the stage knows, without their dashes
   */
  constructor(place: string, names: readonly string[], args: readonly string[]) {
    const known =
      names.length === 0 ? 'This stage takes none.' : `It knows ${names.map((name) => `--${name}`).join(', ')}.`;
    const mistake = (reason: string, subject: string): void => {
      this.mistakes.push(new VmRunnerError('invalid-input', `${reason} in ${place}`, { subject, hint: known }));
    };
    const options = Object.fromEntries(names.map((name) => [name, { type: 'string' as const }]));
    const { tokens } = parseArgs({ args: [...args], options, strict: false, allowPositionals: true, tokens: true });
    for (const token of tokens) {
      if (token.kind === 'positional') mistake('unexpected argument', token.value);
      if (token.kind !== 'option') continue;
      if (!names.includes(token.name)) mistake('unknown flag', token.rawName);
      else if (token.value === undefined) mistake('flag without a value', token.rawName);
      else this.#values.set(token.name, token.value);
    }
  }

  text(name: string): string | undefined {
    return this.#values.get(name);
  }

  /** `undefined` when the flag is absent, or wrong. */
  read<T>(kind: ValueKind<T>, name: string): T | undefined {
    const text = this.#values.get(name);
    if (text === undefined) return undefined;
    try {
      return readValue(kind, text, `--${name} ${text}`);
    } catch (mistake) {
      this.mistakes.push(mistake as VmRunnerError);
      return undefined;
    }
  }
}
