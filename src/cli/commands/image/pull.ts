import type { Command } from '../../command.js';
import { openCliHost } from '../../host.js';
import { allowedReferences } from '../../image-reference.js';
import { terminalLog } from '../../log.js';

export const imagePull: Command = {
  name: 'image pull',
  summary: 'Bring images to this host, or up to date',
  description:
    'Asks the registry of each image for it and brings what is missing here. What was interrupted goes on where it stopped.',
  flags: [{ name: 'quiet', short: 'q', doc: 'Print digests only' }],
  operands: { usage: 'REF…', least: 1, most: Infinity, words: ['image'] },
  examples: [['vm-runner image pull node:22 ghcr.io/org/ci:stable', 'Before the first job asks for them']],
  run: async (flags, world) => {
    const references = allowedReferences(flags.operands, world.cwd, await world.config());
    const host = await openCliHost(world);
    const log = terminalLog(world.stderr, { quiet: flags.has('quiet') });
    for (const reference of references) {
      const { digest } = await host.images.resolve(reference, { log, signal: world.signal, pull: 'always' });
      world.stdout.write(`${digest}\n`);
    }
    return 0;
  },
};
