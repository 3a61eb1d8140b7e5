import { VmRunnerError } from '../../../core/errors.js';
import type { LocalImage } from '../../../images/image.js';
import type { Host } from '../../../providers/provider.js';
import type { Command } from '../../command.js';
import { openCliHost } from '../../host.js';
import { absoluteReference } from '../../image-reference.js';

export const imageInspect: Command = {
  name: 'image inspect',
  summary: 'Show what is known of an image, as JSON',
  description: 'Prints the digest, the configuration and the files of an image that is on this host.',
  flags: [],
  operands: { usage: 'REF', least: 1, most: 1, words: ['image'] },
  examples: [['vm-runner image inspect node:22 | jq .config', 'What its author says about it']],
  run: async (flags, world) => {
    const host = await openCliHost(world);
    const image = await presentImage(host, absoluteReference(flags.operands[0] ?? '', world.cwd));
    const stored = (await host.images.list()).find(({ digest }) => digest === image.digest);
    world.stdout.write(`${JSON.stringify({ ...stored, ...image }, undefined, 2)}\n`);
    return 0;
  },
};

/** @throws image-unavailable when it is not on this host. */
export async function presentImage(host: Host, reference: string): Promise<LocalImage> {
  const image = await host.images.find(reference);
  if (image !== undefined) return image;
  throw new VmRunnerError('image-unavailable', 'no such image on this host', {
    subject: reference,
    hint: 'See what there is with: vm-runner images',
  });
}
