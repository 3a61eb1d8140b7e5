import { combineInputErrors, VmRunnerError } from '../../core/errors.js';
import { shellExitCode } from '../../core/job.js';
import { withAgent } from '../../stages/attach.js';
import { run } from '../../stages/run.js';
import type { Command } from '../command.js';
import { PROGRAM_EXIT_CODES } from '../exit-code.js';
import type { ParsedFlags } from '../flags.js';
import { findRecord, openCliHost } from '../host.js';
import { terminalLog } from '../log.js';
import { PROGRAM_FLAGS } from '../run-flags.js';
import { readProgramSettings } from '../run-settings.js';
import { withStreams } from '../streams.js';

export const execCommand: Command = {
  name: 'exec',
  summary: 'Run a program in a VM that is up',
  description:
    'Runs one more program in a running VM, for instance one that was kept with run --keep. Its exit code is ours. With --detach it goes on by itself, with neither input nor output.',
  flags: [
    ...PROGRAM_FLAGS,
    { name: 'detach', short: 'd', group: 'Program', doc: 'Start it and let it go on by itself; prints nothing' },
  ],
  operands: { usage: 'NAME', least: 1, most: 1, words: ['vm'] },
  takesProgram: 'behind operands',
  exitCodes: PROGRAM_EXIT_CODES,
  examples: [
    ['vm-runner exec -it box bash', 'A shell in a VM'],
    ['tar c src | vm-runner exec -i box tar x -C /w', 'Standard input goes through'],
    ["vm-runner exec -d box sh -c 'exec server >/tmp/server.log 2>&1'", 'Something that goes on by itself'],
  ],
  run: async (flags, world) => {
    const mistakes: VmRunnerError[] = [];
    const { workdir: cwd, ...settings } = await readProgramSettings(flags, world, mistakes);
    if (flags.program.length === 0) {
      mistakes.push(
        new VmRunnerError('invalid-input', 'nothing to run', { hint: 'Give a program behind the name of the VM.' }),
      );
    }
    const isDetached = flags.has('detach');
    if (isDetached) mistakes.push(...withoutReader(flags));
    const error = combineInputErrors(mistakes);
    if (error !== undefined) throw error;
    const host = await openCliHost(world);
    const record = await findRecord(host, flags.operands[0] ?? '');
    const program = { kind: 'argv' as const, argv: flags.program };
    const log = terminalLog(world.stderr, { quiet: false });
    const { env, user } = settings;
    const status = await withAgent(host, record, { log, signal: world.signal }, async (agent, signal) => {
      if (!isDetached) {
        const journal = { host, record, log, isJob: false };
        return await withStreams(world, settings, (streams) =>
          run(agent, { ...settings, ...streams, program, cwd, signal, journal }),
        );
      }
      await agent.detach({ program, cwd, env, user, signal });
      await host.store.events.add('vm', 'program-detached', record.name, { program: flags.program[0] ?? '' }, log);
      return undefined;
    });
    return status === undefined ? 0 : shellExitCode(status);
  },
};

/** What makes no sense for a program that nobody waits for. */
function withoutReader(flags: ParsedFlags): VmRunnerError[] {
  return ['interactive', 'tty', 'timeout']
    .filter((name) => flags.has(name))
    .map(
      (name) =>
        new VmRunnerError('invalid-input', 'nobody waits for a detached program', {
          subject: `--${name} with --detach`,
          hint: 'Leave one of the two out.',
        }),
    );
}
