import type { Command } from '../../command.js';
import { openCliHost } from '../../host.js';
import { absoluteReference, allowedReferences, isInFiles, localReference } from '../../image-reference.js';
import { terminalLog } from '../../log.js';

export const imageImport: Command = {
  name: 'image import',
  summary: 'Take an image from files',
  description:
    'Brings an image into the store from oci:DIR[:TAG], docker-archive:FILE (docker save) or rootfs:FILE (a tar of a whole root), and gives it a name: local/NAME.',
  flags: [{ name: 'quiet', short: 'q', doc: 'Say nothing but warnings and errors' }],
  operands: { usage: 'SOURCE NAME', least: 2, most: 2, words: ['file'] },
  examples: [
    ['docker save app:1 -o app.tar && vm-runner image import docker-archive:app.tar app', 'Take one from docker'],
    ['vm-runner image import rootfs:root.tar.zst bare', 'Take a whole root'],
  ],
  run: async (flags, world) => {
    const [source = '', name = ''] = flags.operands;
    const reference = absoluteReference(source, world.cwd);
    // Whoever can read a file of this host may keep it: what jobs may use is decided by the name that it gets.
    if (!isInFiles(reference)) allowedReferences([reference], world.cwd, await world.config());
    const host = await openCliHost(world);
    const log = terminalLog(world.stderr, { quiet: flags.has('quiet') });
    const context = { log, signal: world.signal };
    const image = await host.images.resolve(reference, { ...context, pull: 'always' });
    const { digest } = await host.images.name(image, localReference(name));
    world.stdout.write(`${digest}\n`);
    return 0;
  },
};
