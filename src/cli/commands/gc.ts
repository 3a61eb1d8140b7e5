import { collectGarbage } from '../../stages/reap.js';
import { JSON_FLAG, type Command } from '../command.js';
import { openCliHost } from '../host.js';
import { terminalLog } from '../log.js';

export const gc: Command = {
  name: 'gc',
  summary: 'Remove VMs that nobody owns any more, and half-made things',
  description:
    'Removes VMs whose owner is gone or whose time is over, and what interrupted builds left. Never touches what is in use; safe at any time, also several at once.',
  flags: [JSON_FLAG],
  operands: { usage: '', least: 0, most: 0 },
  run: async (flags, world) => {
    const host = await openCliHost(world);
    const log = terminalLog(world.stderr, { quiet: flags.has('json') });
    const { orphans, abandoned } = await collectGarbage(host, log);
    if (flags.has('json')) world.stdout.write(`${JSON.stringify({ vms: orphans, abandoned }, undefined, 2)}\n`);
    else world.stdout.write(`removed ${orphans.length} VMs and ${abandoned.length} half-made directories\n`);
    return 0;
  },
};
