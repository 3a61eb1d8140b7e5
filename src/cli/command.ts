import type { CommandShape, Flag, ParsedFlags } from './flags.js';
import type { World } from './world.js';

/** A command of the command line. */
export interface Command extends CommandShape {
  /** One line for the list of commands. */
  readonly summary: string;
  /** More for its own help: paragraphs. */
  readonly description: string;
  /** Command lines and what they do, for its help. */
  readonly examples?: readonly (readonly [line: string, doc: string])[];
  /** @returns the exit code */
  readonly run: (flags: ParsedFlags, world: World) => Promise<number>;
}

export const HELP_FLAG: Flag = { name: 'help', short: 'h', doc: 'Show this help' };
export const JSON_FLAG: Flag = { name: 'json', doc: 'Print JSON for programs' };
