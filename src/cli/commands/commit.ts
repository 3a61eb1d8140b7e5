import { Timeline } from '../../core/log.js';
import { commit as commitVm } from '../../stages/bake.js';
import type { Command } from '../command.js';
import { findRecord, openCliHost } from '../host.js';
import { localReference } from '../image-reference.js';
import { terminalLog } from '../log.js';

export const commit: Command = {
  name: 'commit',
  summary: 'Keep what was changed in a VM as an image',
  description:
    'Keeps all that was changed in a VM that is up as one more layer over its image: local/IMAGE. Its programs stand still meanwhile. Not in it: memory, what is mounted, the workspace and the volumes of the image.',
  flags: [{ name: 'live', doc: 'Let the programs of the VM go on; what they write meanwhile may be in it by halves' }],
  operands: { usage: 'NAME IMAGE', least: 2, most: 2, words: ['vm'] },
  examples: [
    ['vm-runner commit box node-with-tools', 'Keep what was installed by hand in a VM as local/node-with-tools'],
    ['vm-runner run --image local/node-with-tools -- make test', 'Use it'],
  ],
  run: async (flags, world) => {
    const [name = '', image = ''] = flags.operands;
    const host = await openCliHost(world);
    const record = await findRecord(host, name);
    const log = terminalLog(world.stderr, { quiet: false });
    const context = { log, timeline: new Timeline(), signal: world.signal };
    const options = { reference: localReference(image), live: flags.has('live') };
    const { digest } = await commitVm(host, record, options, context);
    world.stdout.write(`${digest}\n`);
    return 0;
  },
};
