import { renderError, toVmRunnerError, VmRunnerError } from '../core/errors.js';
import { printable } from '../core/printable.js';
import { HELP_FLAG, type Command } from './command.js';
import { cp } from './commands/cp.js';
import { doctor } from './commands/doctor.js';
import { execCommand } from './commands/exec.js';
import { gc } from './commands/gc.js';
import { logs } from './commands/logs.js';
import { ps } from './commands/ps.js';
import { rm } from './commands/rm.js';
import { runCommand } from './commands/run.js';
import { exitCodeOf, OWN_FAILURE } from './exit-code.js';
import { parseFlags } from './flags.js';
import { renderHelp, renderOverview } from './help.js';
import type { World } from './world.js';

const COMMANDS: readonly Command[] = [runCommand, ps, execCommand, cp, logs, rm, gc, doctor];

/** Runs one command line and returns its exit code. */
export async function main(args: readonly string[], world: World): Promise<number> {
  const [name, ...rest] = args;
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
    const command = COMMANDS.find((candidate) => candidate.name === name);
    if (command === undefined) {
      throw new VmRunnerError('invalid-input', 'unknown command', {
        subject: name,
        hint: 'See what there is with: vm-runner --help',
      });
    }
    const shape = { ...command, flags: [...command.flags, HELP_FLAG] };
    if (asksForHelp(command, rest)) {
      world.stdout.write(renderHelp(shape));
      return 0;
    }
    return await command.run(parseFlags(shape, rest), world);
  } catch (thrown) {
    const error = toVmRunnerError(thrown);
    world.stderr.write(`vm-runner: ${printable(renderError(error))}\n`);
    // A defect is only worth reporting with the place where it happened.
    if (error.blame === 'bug' && thrown instanceof Error) world.stderr.write(`${thrown.stack ?? ''}\n`);
    return exitCodeOf(error);
  }
}

/** Only before the guest's own program: its `--help` is not ours. */
function asksForHelp(command: Command, args: readonly string[]): boolean {
  const ends = (arg: string): boolean =>
    arg === '--' || (command.takesProgram === 'behind operands' && !arg.startsWith('-'));
  const end = args.findIndex(ends);
  return args.slice(0, end === -1 ? undefined : end).some((arg) => arg === '--help' || arg === '-h');
}
