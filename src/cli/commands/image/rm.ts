import { renderError, toVmRunnerError } from '../../../core/errors.js';
import { formatSize } from '../../../core/units.js';
import type { Command } from '../../command.js';
import { OWN_FAILURE } from '../../exit-code.js';
import { openCliHost } from '../../host.js';
import { absoluteReference } from '../../image-reference.js';

export const imageRm: Command = {
  name: 'image rm',
  summary: 'Remove images from this host',
  description:
    'Takes the name of each image away. Its files go when no other image shares them; VMs that run keep what they have.',
  flags: [],
  operands: { usage: 'REF…', least: 1, most: Infinity, words: ['image'] },
  examples: [['vm-runner image rm node:20', 'Give up an image that no job uses any more']],
  run: async (flags, world) => {
    const host = await openCliHost(world);
    let exitCode = 0;
    for (const operand of flags.operands) {
      const reference = absoluteReference(operand, world.cwd);
      try {
        const { freedBytes, kept } = await host.images.remove(reference);
        const rest = kept === undefined ? '' : `; the rest stays: ${kept}`;
        world.stdout.write(`${reference}: freed ${formatSize(freedBytes)}${rest}\n`);
      } catch (error) {
        world.stderr.write(`vm-runner: ${renderError(toVmRunnerError(error))}\n`);
        exitCode = OWN_FAILURE;
      }
    }
    return exitCode;
  },
};
