import { parseArgs } from 'node:util';

import { combineInputErrors, VmRunnerError } from '../core/errors.js';
import { suggest } from '../core/suggest.js';

/** What a shell offers for a word: the words themselves, or those that are found when they are asked for. */
export type Words = readonly string[] | 'vm' | 'vm-or-ended' | 'image' | 'template' | 'file' | 'directory' | 'place';

/** One flag of a command: help, docs/CLI.md, completion and the parser are made from it. */
export interface Flag {
  readonly name: string;
  readonly short?: string;
  /** What stands for the value in the help; without it the flag is a switch. */
  readonly value?: string;
  /** Default: nothing is offered. */
  readonly words?: Words;
  readonly repeatable?: boolean;
  /** Under which heading it stands in the help. Default: `Flags`. */
  readonly group?: string;
  readonly doc: string;
}

/** Plain arguments before the command of the guest: their names for the help, and how many there must be. */
export interface Operands {
  readonly usage: string;
  readonly least: number;
  readonly most: number;
  /** What stands at each place; the last goes for all that follow. */
  readonly words?: readonly Words[];
}

export interface CommandShape {
  readonly name: string;
  readonly flags: readonly Flag[];
  readonly operands: Operands;
  /** Whether what follows the operands (behind an optional `--`) is a program for the guest. */
  readonly takesProgram?: 'behind dashes' | 'behind operands';
}

export class ParsedFlags {
  readonly operands: readonly string[];
  /** The program for the guest; empty when none was given. */
  readonly program: readonly string[];
  readonly #values: ReadonlyMap<string, readonly string[]>;

  constructor(operands: readonly string[], program: readonly string[], values: ReadonlyMap<string, readonly string[]>) {
    this.operands = operands;
    this.program = program;
    this.#values = values;
  }

  has(name: string): boolean {
    return this.#values.has(name);
  }

  /** The last one wins. */
  value(name: string): string | undefined {
    return this.#values.get(name)?.at(-1);
  }

  all(name: string): readonly string[] {
    return this.#values.get(name) ?? [];
  }
}

/** @throws invalid-input that names every mistake. */
export function parseFlags(shape: CommandShape, args: readonly string[]): ParsedFlags {
  const mistakes: VmRunnerError[] = [];
  const hint = `See: vm-runner ${shape.name} --help`;
  const byName = new Map(shape.flags.map((flag) => [flag.name, flag]));
  const [own, behind] = splitProgram(shape, args);
  const { tokens } = parseArgs({
    args: own,
    options: optionsOf(shape),
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  const values = new Map<string, string[]>();
  const operands: string[] = [];
  for (const token of tokens) {
    if (token.kind === 'positional') operands.push(token.value);
    if (token.kind !== 'option') continue;
    const flag = byName.get(token.name);
    if (flag === undefined) {
      mistakes.push(unknownFlag(shape, token.rawName, hint));
    } else if (flag.value !== undefined && token.value === undefined) {
      mistakes.push(
        new VmRunnerError('invalid-input', `flag needs a value (${flag.value})`, { subject: token.rawName, hint }),
      );
    } else if (flag.value === undefined && token.value !== undefined) {
      mistakes.push(
        new VmRunnerError('invalid-input', 'flag takes no value', { subject: `${token.rawName}=${token.value}`, hint }),
      );
    } else {
      values.set(flag.name, [...(values.get(flag.name) ?? []), token.value ?? '']);
    }
  }
  const { least, most, usage } = shape.operands;
  const surplus = operands.slice(most);
  if (operands.length < least)
    mistakes.push(new VmRunnerError('invalid-input', 'argument missing', { subject: usage, hint }));
  for (const operand of surplus) {
    const advice =
      shape.takesProgram === 'behind dashes'
        ? `Put the program for the guest behind --: vm-runner ${shape.name} -- ${operand} …`
        : hint;
    mistakes.push(new VmRunnerError('invalid-input', 'unexpected argument', { subject: operand, hint: advice }));
  }
  // One advice is enough when a whole command line was written without its dashes.
  const error = combineInputErrors(mistakes.slice(0, mistakes.length - Math.max(0, surplus.length - 1)));
  if (error !== undefined) throw error;
  return new ParsedFlags(operands, behind, values);
}

function unknownFlag({ flags }: CommandShape, given: string, hint: string): VmRunnerError {
  const meant = given.startsWith('--')
    ? suggest(
        given.slice(2),
        flags.map(({ name }) => name),
      )
    : undefined;
  return new VmRunnerError('invalid-input', 'unknown flag', {
    subject: given,
    hint: meant === undefined ? hint : `Did you mean --${meant}? ${hint}`,
  });
}

export function optionsOf(
  shape: CommandShape,
): Record<string, { type: 'string' | 'boolean'; short?: string; multiple: boolean }> {
  return Object.fromEntries(
    shape.flags.map(({ name, short, value }) => [
      name,
      {
        type: value === undefined ? ('boolean' as const) : ('string' as const),
        multiple: true,
        ...(short === undefined ? {} : { short }),
      },
    ]),
  );
}

/** Our own arguments, and the guest's program, whose flags are none of our business. */
function splitProgram(shape: CommandShape, args: readonly string[]): [own: string[], program: string[]] {
  const dashes = args.indexOf('--');
  if (shape.takesProgram === 'behind operands') {
    const { tokens } = parseArgs({
      args: [...args],
      options: optionsOf(shape),
      strict: false,
      allowPositionals: true,
      tokens: true,
    });
    const last = tokens.filter((token) => token.kind === 'positional')[shape.operands.most - 1];
    if (last !== undefined && (dashes === -1 || last.index < dashes)) {
      const rest = args.slice(last.index + 1);
      return [args.slice(0, last.index + 1), rest[0] === '--' ? rest.slice(1) : rest];
    }
  }
  if (dashes === -1 || shape.takesProgram === undefined) return [[...args], []];
  return [args.slice(0, dashes), args.slice(dashes + 1)];
}
