import type { CommandShape, Flag, ParsedFlags } from './flags.js';
import type { World } from './world.js';

/** A command of the command line. */
export interface Command extends CommandShape {
  /** Whether it has nothing to do with this host: then there is no --config either. */
  readonly hostless?: true;
  /** Whether it is for programs alone: no list has it. */
  readonly hidden?: true;
  /** One line for the list of commands. */
  readonly summary: string;
  /** More for its own help: paragraphs. */
  readonly description: string;
  /** Command lines and what they do, for its help. */
  readonly examples?: readonly Example[];
  /** Default: {@link EXIT_CODES}. */
  readonly exitCodes?: readonly ExitCodeRow[];
  /** @returns the exit code */
  readonly run: (flags: ParsedFlags, world: World) => Promise<number>;
}

export type Example = readonly [line: string, doc: string];
export type ExitCodeRow = readonly [code: string, doc: string];

export const CONFIG_FLAG: Flag = {
  name: 'config',
  value: 'FILE',
  words: 'file',
  group: 'Everywhere',
  doc: 'Host file (default: VM_RUNNER_CONFIG, else /etc/vm-runner/vm-runner.toml, else ~/.config/vm-runner/vm-runner.toml)',
};
export const HELP_FLAG: Flag = { name: 'help', short: 'h', group: 'Everywhere', doc: 'Show this help' };
export const JSON_FLAG: Flag = { name: 'json', doc: 'Print JSON for programs' };

/** All flags of a command: its own, and those that are everywhere. */
export function shapeOf(command: Command): Command {
  const everywhere = command.hostless === true ? [HELP_FLAG] : [CONFIG_FLAG, HELP_FLAG];
  return { ...command, flags: [...command.flags, ...everywhere] };
}
