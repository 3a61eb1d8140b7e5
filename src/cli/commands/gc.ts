import { formatSize } from '../../core/units.js';
import { collectGarbage } from '../../stages/reap.js';
import { JSON_FLAG, type Command } from '../command.js';
import { openCliHost } from '../host.js';
import { terminalLog } from '../log.js';

export const gc: Command = {
  name: 'gc',
  summary: 'Remove VMs that nobody owns any more, half-made things, and files that nothing needs',
  description:
    'Removes VMs whose owner is gone or whose time is over, what interrupted builds and pulls left, images and layers that nothing needs, and templates that nothing started from for a month. Never touches what is in use; safe at any time, also several at once.',
  flags: [JSON_FLAG],
  operands: { usage: '', least: 0, most: 0 },
  run: async (flags, world) => {
    const host = await openCliHost(world);
    const log = terminalLog(world.stderr, { quiet: flags.has('json') });
    const { orphans, abandoned, templates, freedBytes } = await collectGarbage(host, log);
    if (flags.has('json')) {
      const story = { vms: orphans, abandoned, templates, freedBytes };
      world.stdout.write(`${JSON.stringify(story, undefined, 2)}\n`);
    } else {
      const made = `${abandoned.length} half-made directories`;
      const images = `${formatSize(freedBytes)} of images that nothing needs`;
      world.stdout.write(`removed ${orphans.length} VMs, ${made}, ${templates.length} templates and ${images}\n`);
    }
    return 0;
  },
};
