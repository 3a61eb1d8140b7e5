import { renderError, toVmRunnerError } from '../core/errors.js';
import { printable } from '../core/printable.js';
import { CATALOG, COMMANDS, familyOf, findCommand } from './catalog.js';
import { CONFIG_FLAG, shapeOf, type Command } from './command.js';
import { complete } from './commands/complete.js';
import { exitCodeOf, OWN_FAILURE } from './exit-code.js';
import { parseFlags } from './flags.js';
import { renderFamily, renderHelp, renderOverview } from './help.js';
import { configOnce } from './host-config.js';
import { terminalWidth } from './table.js';
import type { Outside } from './world.js';

const HELP = new Set(['help', '--help', '-h']);

/** Runs one command line and returns its exit code. */
export async function main(args: readonly string[], world: Outside): Promise<number> {
  const [name] = args;
  const { version } = world.installation;
  if (name === undefined) {
    world.stderr.write(renderOverview(CATALOG, version, terminalWidth(world.stderr)));
    return OWN_FAILURE;
  }
  if (name === '--version' || name === 'version') {
    world.stdout.write(`vm-runner ${version}\n`);
    return 0;
  }
  try {
    const help = helpAskedFor(args, world);
    if (help !== undefined) {
      world.stdout.write(help);
      return 0;
    }
    const { command, rest } = findCommand(args, [...COMMANDS, complete]);
    const flags = parseFlags(shapeOf(command), rest);
    return await command.run(flags, { ...world, config: configOnce(flags.value(CONFIG_FLAG.name), world) });
  } catch (thrown) {
    const error = toVmRunnerError(thrown);
    world.stderr.write(`vm-runner: ${printable(renderError(error))}\n`);
    // A defect is only worth reporting with the place where it happened.
    if (error.blame === 'bug' && thrown instanceof Error) world.stderr.write(`${thrown.stack ?? ''}\n`);
    return exitCodeOf(error);
  }
}

/** The help that was asked for: as `help`, `help COMMAND` or `COMMAND --help`, where COMMAND may be a family such as `image`. */
function helpAskedFor([first = '', ...rest]: readonly string[], { installation, stdout }: Outside): string | undefined {
  const columns = terminalWidth(stdout);
  const words = HELP.has(first) ? rest : [first, ...rest];
  const [word] = words;
  if (word === undefined || (HELP.has(first) && HELP.has(word))) {
    return renderOverview(CATALOG, installation.version, columns);
  }
  const family = COMMANDS.some(({ name }) => name === word) ? [] : familyOf(word);
  const isAlone = HELP.has(first) ? words.length === 1 : HELP.has(words[1] ?? '');
  if (family.length > 0 && isAlone) return renderFamily(word, family, columns);
  if (HELP.has(first)) return renderHelp(findCommand(words).command, columns);
  const { command, rest: own } = findCommand(words, [...COMMANDS, complete]);
  return asksForHelp(command, own) ? renderHelp(command, columns) : undefined;
}

/** Only before the guest's own program: its `--help` is not ours. */
function asksForHelp(command: Command, args: readonly string[]): boolean {
  const ends = (arg: string): boolean =>
    arg === '--' || (command.takesProgram === 'behind operands' && !arg.startsWith('-'));
  const end = args.findIndex(ends);
  return args.slice(0, end === -1 ? undefined : end).some((arg) => arg === '--help' || arg === '-h');
}
