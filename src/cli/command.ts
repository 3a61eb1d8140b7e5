import type { CommandShape, Flag, ParsedFlags } from './flags.js';
import type { World } from './world.js';

/** A command of the command line. */
export interface Command extends CommandShape {
  /** Whether it has nothing to do with this host: then there is no --config either. */
  readonly hostless?: true;
  /** One line for the list of commands. */
  readonly summary: string;
  /** More for its own help: paragraphs. */
  readonly description: string;
  /** Command lines and what they do, for its help. */
  readonly examples?: readonly (readonly [line: string, doc: string])[];
  /** @returns the exit code */
  readonly run: (flags: ParsedFlags, world: World) => Promise<number>;
}

export const CONFIG_FLAG: Flag = {
  name: 'config',
  value: 'FILE',
  doc: 'Host file (default: VM_RUNNER_CONFIG, else /etc/vm-runner/vm-runner.toml, else ~/.config/vm-runner/vm-runner.toml)',
};
export const HELP_FLAG: Flag = { name: 'help', short: 'h', doc: 'Show this help' };
export const JSON_FLAG: Flag = { name: 'json', doc: 'Print JSON for programs' };
