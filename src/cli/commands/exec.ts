import { combineInputErrors, VmRunnerError } from '../../core/errors.js';
import { shellExitCode } from '../../core/job.js';
import { withAgent } from '../../stages/attach.js';
import { run } from '../../stages/run.js';
import type { Command } from '../command.js';
import { findRecord, openCliHost } from '../host.js';
import { terminalLog } from '../log.js';
import { PROGRAM_FLAGS } from '../run-flags.js';
import { readProgramSettings } from '../run-settings.js';
import { withStreams } from '../streams.js';

export const execCommand: Command = {
  name: 'exec',
  summary: 'Run a program in a VM that is up',
  description:
    'Runs one more program in a running VM, for instance one that was kept with run --keep. Its exit code is ours.',
  flags: PROGRAM_FLAGS,
  operands: { usage: 'NAME', least: 1, most: 1 },
  takesProgram: 'behind operands',
  run: async (flags, world) => {
    const mistakes: VmRunnerError[] = [];
    const { workdir, ...settings } = await readProgramSettings(flags, world, mistakes);
    if (flags.program.length === 0) {
      mistakes.push(
        new VmRunnerError('invalid-input', 'nothing to run', { hint: 'Give a program behind the name of the VM.' }),
      );
    }
    const error = combineInputErrors(mistakes);
    if (error !== undefined) throw error;
    const host = await openCliHost(world);
    const record = await findRecord(host, flags.operands[0] ?? '');
    const program = { kind: 'argv' as const, argv: flags.program };
    const log = terminalLog(world.stderr, { quiet: false });
    const journal = { host, record, log, isJob: false };
    const status = await withAgent(host, record, { log, signal: world.signal }, (agent, signal) =>
      withStreams(world, settings, (streams) =>
        run(agent, { ...settings, ...streams, program, cwd: workdir, signal, journal }),
      ),
    );
    return shellExitCode(status);
  },
};
