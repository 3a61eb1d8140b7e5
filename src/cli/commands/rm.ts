import { renderError, toVmRunnerError, VmRunnerError } from '../../core/errors.js';
import type { Host } from '../../providers/provider.js';
import { cleanup } from '../../stages/cleanup.js';
import { giveUp } from '../../stages/give-up.js';
import type { VmRecord } from '../../store/record.js';
import { noSuchVm } from '../../store/vms.js';
import type { Command } from '../command.js';
import { OWN_FAILURE } from '../exit-code.js';
import { openCliHost } from '../host.js';
import { terminalLog } from '../log.js';

export const rm: Command = {
  name: 'rm',
  summary: 'Destroy VMs',
  description:
    'Ends VMs at once and removes all that the store has of them: VMs that were kept, that wait in a pool, or that nobody owns any more. One whose job still runs needs --force.',
  flags: [
    { name: 'force', short: 'f', doc: 'Destroy also a VM whose job runs; do not complain about one that is not there' },
  ],
  operands: { usage: 'NAME…', least: 1, most: Infinity, words: ['vm'] },
  examples: [
    ['vm-runner rm box', 'Destroy a VM that was kept'],
    ['vm-runner rm -f vm-0123456789', 'Destroy a VM under its job, which fails of it'],
  ],
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
        const record = await readable(host, name);
        if (record?.state === 'pooled') {
          if (!(await giveUp(host, name, record.incarnation, log))) throw noSuchVm(name);
        } else {
          if (!flags.has('force')) checkUnowned(host, name, record);
          await cleanup(host, name, { keepLogs: false, log });
        }
        world.stdout.write(`${name}\n`);
      } catch (error) {
        world.stderr.write(`vm-runner: ${renderError(toVmRunnerError(error))}\n`);
        exitCode = OWN_FAILURE;
      }
    }
    return exitCode;
  },
};

/** As docker has it: what runs is not removed by a slip. @throws invalid-input when somebody's job has it. */
function checkUnowned(host: Host, name: string, record: VmRecord | undefined): void {
  const owner = record?.owner;
  if (record === undefined || owner === undefined || !host.processes.isAlive(owner)) return;
  const job = record.job === undefined ? '' : ` (${record.job})`;
  throw new VmRunnerError('invalid-input', `VM belongs to process ${owner.pid}, ${record.frontEnd}${job}, which runs`, {
    subject: name,
    hint: `Wait until it is done, or destroy the VM under it with: vm-runner rm -f ${name}`,
  });
}

/** What has no readable record has no owner either. */
async function readable(host: Host, name: string): Promise<VmRecord | undefined> {
  try {
    return await host.store.vms.read(name);
  } catch (error) {
    if (error instanceof VmRunnerError && error.code === 'store-damaged') return undefined;
    throw error;
  }
}
