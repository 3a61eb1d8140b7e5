import path from 'node:path';

import type { Command } from '../../command.js';
import { openCliHost } from '../../host.js';
import { absoluteReference } from '../../image-reference.js';
import { terminalLog } from '../../log.js';

export const imageExport: Command = {
  name: 'image export',
  summary: 'Write an image to files that other tools read',
  description:
    'Writes an image of this host as an OCI layout: a directory, or one file when TARGET ends with .tar. Its layers are packed anew, so that their digests are not those of the registry.',
  flags: [{ name: 'quiet', short: 'q', doc: 'Say nothing but warnings and errors' }],
  operands: { usage: 'REF TARGET', least: 2, most: 2, words: ['image', 'file'] },
  examples: [['vm-runner image export local/tools tools.tar', 'For other hosts and tools']],
  run: async (flags, world) => {
    const [reference = '', target = ''] = flags.operands;
    const host = await openCliHost(world);
    const log = terminalLog(world.stderr, { quiet: flags.has('quiet') });
    const to = path.resolve(world.cwd, target);
    await host.images.exportTo(absoluteReference(reference, world.cwd), to, { log, signal: world.signal });
    world.stdout.write(`${to}\n`);
    return 0;
  },
};
