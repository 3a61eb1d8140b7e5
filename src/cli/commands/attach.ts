import { combineInputErrors, VmRunnerError } from '../../core/errors.js';
import { shellExitCode } from '../../core/job.js';
import { formatDuration } from '../../core/units.js';
import { withAgent } from '../../stages/attach.js';
import { run } from '../../stages/run.js';
import type { Command } from '../command.js';
import { PROGRAM_EXIT_CODES } from '../exit-code.js';
import { findRecord, openCliHost } from '../host.js';
import { terminalLog } from '../log.js';
import { PROGRAM_FLAGS } from '../run-flags.js';
import { readProgramSettings } from '../run-settings.js';
import { withStreams } from '../streams.js';
import { isKept } from '../vm-list.js';

/** An image may have bash or not; no login shell, which would forget the variables that the image sets. */
const SHELL = ['/bin/sh', '-c', 'if command -v bash >/dev/null 2>&1; then exec bash; else exec sh; fi'];
const NOT_FOR_SHELLS = new Set(['interactive', 'tty', 'timeout']);

export const attach: Command = {
  name: 'attach',
  summary: 'Open a shell in a VM that is up, on this terminal',
  description:
    'Opens an interactive shell, bash where the image has it, in a VM that was kept with run --keep, or in one whose job runs. The VM stays when the shell ends.',
  flags: PROGRAM_FLAGS.filter(({ name }) => !NOT_FOR_SHELLS.has(name)),
  operands: { usage: 'NAME', least: 1, most: 1, words: ['vm'] },
  exitCodes: PROGRAM_EXIT_CODES,
  examples: [
    ['vm-runner run --keep --name box --script build.sh', 'Keep the VM of a job'],
    ['vm-runner attach box', 'Look around in it'],
    ['vm-runner attach -u nobody -w /tmp box', 'As somebody else, elsewhere'],
  ],
  run: async (flags, world) => {
    const [name = ''] = flags.operands;
    const mistakes: VmRunnerError[] = [];
    const { workdir, ...settings } = await readProgramSettings(flags, world, mistakes);
    if (!world.stdin.isTTY) {
      mistakes.push(
        new VmRunnerError('invalid-input', 'standard input is no terminal', {
          hint: `Give a shell its input from elsewhere with: vm-runner exec -i ${name} sh`,
        }),
      );
    }
    const error = combineInputErrors(mistakes);
    if (error !== undefined) throw error;
    const host = await openCliHost(world);
    const record = await findRecord(host, name);
    const log = terminalLog(world.stderr, { quiet: false });
    const onTerminal = { ...settings, interactive: true, tty: true };
    const request = { ...onTerminal, program: { kind: 'argv' as const, argv: SHELL }, cwd: workdir };
    const journal = { host, record, log, isJob: false };
    const status = await withAgent(host, record, { log, signal: world.signal }, (agent, signal) =>
      withStreams(world, onTerminal, (streams) => run(agent, { ...request, ...streams, signal, journal })),
    );
    if (isKept(record)) {
      const rest = formatDuration(Math.max(0, record.expiresAt - Date.now()));
      log.info(`VM ${name} stays for ${rest}; end it with: vm-runner rm ${name}`);
    }
    return shellExitCode(status);
  },
};
