import { renderError, toVmRunnerError, VmRunnerError } from '../core/errors.js';
import { printable } from '../core/printable.js';
import { CONFIG_FLAG, HELP_FLAG, type Command } from './command.js';
import { commit } from './commands/commit.js';
import { config } from './commands/config.js';
import { cp } from './commands/cp.js';
import { doctor } from './commands/doctor.js';
import { events } from './commands/events.js';
import { execCommand } from './commands/exec.js';
import { explain } from './commands/explain.js';
import { gc } from './commands/gc.js';
import { imageExport } from './commands/image/export.js';
import { imageImport } from './commands/image/import.js';
import { imageInspect } from './commands/image/inspect.js';
import { imagePrepare } from './commands/image/prepare.js';
import { imagePull } from './commands/image/pull.js';
import { imageRm } from './commands/image/rm.js';
import { images } from './commands/images.js';
import { inspect } from './commands/inspect.js';
import { logs } from './commands/logs.js';
import { pool } from './commands/pool.js';
import { ps } from './commands/ps.js';
import { rm } from './commands/rm.js';
import { runCommand } from './commands/run.js';
import { templates, templatesRm } from './commands/templates.js';
import { exitCodeOf, OWN_FAILURE } from './exit-code.js';
import { parseFlags } from './flags.js';
import { configOnce } from './host-config.js';
import { renderHelp, renderOverview } from './help.js';
import type { Outside } from './world.js';

const COMMANDS: readonly Command[] = [
  ...[runCommand, ps, execCommand, cp, logs, inspect, events, commit, rm],
  ...[images, imagePull, imageInspect, imageRm, imagePrepare, imageImport, imageExport],
  ...[templates, templatesRm, pool, gc, doctor, config, explain],
];

/** Runs one command line and returns its exit code. */
export async function main(args: readonly string[], world: Outside): Promise<number> {
  const [name] = args;
  const { version } = world.installation;
  if (name === undefined || name === 'help' || name === '--help' || name === '-h') {
    const overview = renderOverview(COMMANDS, version);
    (name === undefined ? world.stderr : world.stdout).write(overview);
    return name === undefined ? OWN_FAILURE : 0;
  }
  if (name === '--version' || name === 'version') {
    world.stdout.write(`vm-runner ${version}\n`);
    return 0;
  }
  try {
    const { command, rest } = findCommand(args);
    const common = command.hostless === true ? [HELP_FLAG] : [CONFIG_FLAG, HELP_FLAG];
    const shape = { ...command, flags: [...command.flags, ...common] };
    if (asksForHelp(command, rest)) {
      world.stdout.write(renderHelp(shape));
      return 0;
    }
    const flags = parseFlags(shape, rest);
    return await command.run(flags, { ...world, config: configOnce(flags.value(CONFIG_FLAG.name), world) });
  } catch (thrown) {
    const error = toVmRunnerError(thrown);
    world.stderr.write(`vm-runner: ${printable(renderError(error))}\n`);
    // A defect is only worth reporting with the place where it happened.
    if (error.blame === 'bug' && thrown instanceof Error) world.stderr.write(`${thrown.stack ?? ''}\n`);
    return exitCodeOf(error);
  }
}

/** The command that the first word names, or the first two (`image pull`). */
function findCommand([first = '', ...tail]: readonly string[]): {
  readonly command: Command;
  readonly rest: readonly string[];
} {
  const [second = ''] = tail;
  const long = COMMANDS.find((candidate) => candidate.name === `${first} ${second}`);
  if (long !== undefined) return { command: long, rest: tail.slice(1) };
  const command = COMMANDS.find((candidate) => candidate.name === first);
  if (command !== undefined) return { command, rest: tail };
  const family = COMMANDS.filter((candidate) => candidate.name.startsWith(`${first} `)).map(({ name }) => name);
  throw new VmRunnerError('invalid-input', 'unknown command', {
    subject: family.length === 0 ? first : `${first} ${second}`.trim(),
    hint: family.length === 0 ? 'See what there is with: vm-runner --help' : `There is: ${family.join(', ')}.`,
  });
}

/** Only before the guest's own program: its `--help` is not ours. */
function asksForHelp(command: Command, args: readonly string[]): boolean {
  const ends = (arg: string): boolean =>
    arg === '--' || (command.takesProgram === 'behind operands' && !arg.startsWith('-'));
  const end = args.findIndex(ends);
  return args.slice(0, end === -1 ? undefined : end).some((arg) => arg === '--help' || arg === '-h');
}
