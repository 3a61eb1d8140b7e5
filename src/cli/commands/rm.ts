import { renderError, toVmRunnerError } from '../../core/errors.js';
import { cleanup } from '../../stages/cleanup.js';
import { noSuchVm } from '../../store/vms.js';
import type { Command } from '../command.js';
import { OWN_FAILURE } from '../exit-code.js';
import { openCliHost } from '../host.js';
import { terminalLog } from '../log.js';

export const rm: Command = {
  name: 'rm',
  summary: 'Destroy VMs',
  description: 'Ends VMs at once and removes all that the store has of them, whoever they belong to.',
  flags: [{ name: 'force', short: 'f', doc: 'Do not complain about a VM that is not there' }],
  operands: { usage: 'NAME…', least: 1, most: Infinity },
  run: async (flags, world) => {
    const host = await openCliHost(world);
    const log = terminalLog(world.stderr, { quiet: false });
    const names = new Set(await host.store.vms.names());
    let exitCode = 0;
    for (const name of flags.operands) {
      try {
        if (!names.has(name)) {
          if (flags.has('force')) continue;
          throw noSuchVm(name);
        }
        await cleanup(host, name, { keepLogs: false, log });
        world.stdout.write(`${name}\n`);
      } catch (error) {
        world.stderr.write(`vm-runner: ${renderError(toVmRunnerError(error))}\n`);
        exitCode = OWN_FAILURE;
      }
    }
    return exitCode;
  },
};
