import type { StoredImage } from '../../images/library.js';
import { formatDuration, formatSize } from '../../core/units.js';
import { JSON_FLAG, type Command } from '../command.js';
import { openCliHost } from '../host.js';
import { renderTable } from '../table.js';

/** Enough to tell images apart, and what other commands take. */
const SHORT_DIGEST = 'sha256:'.length + 12;

export const images: Command = {
  name: 'images',
  summary: 'List the images of this store',
  description:
    'Lists every image that is on this host: its size, and what of it goes when it goes, since images share layers.',
  flags: [JSON_FLAG, { name: 'quiet', short: 'q', doc: 'Print names only' }],
  operands: { usage: '', least: 0, most: 0 },
  examples: [
    ['vm-runner images', 'What is here, and what it takes'],
    ["vm-runner images --json | jq -r '.[].digest'", 'For programs'],
  ],
  run: async (flags, world) => {
    const host = await openCliHost(world);
    const stored = await host.images.list();
    if (flags.has('json')) world.stdout.write(`${JSON.stringify(stored, undefined, 2)}\n`);
    else if (flags.has('quiet'))
      world.stdout.write(
        namesOf(stored)
          .map((name) => `${name}\n`)
          .join(''),
      );
    else world.stdout.write(table(stored));
    return 0;
  },
};

function namesOf(stored: readonly StoredImage[]): string[] {
  return stored.flatMap(({ references, digest }) => (references.length === 0 ? [digest] : references));
}

function table(stored: readonly StoredImage[]): string {
  const now = Date.now();
  const rows = stored.flatMap((image) =>
    namesOf([image]).map((name) => [
      name,
      image.digest.slice(0, SHORT_DIGEST),
      String(image.layers),
      formatSize(image.diskBytes),
      formatSize(image.ownBytes),
      `${formatDuration(Math.max(0, now - image.createdAt))} ago`,
    ]),
  );
  return renderTable(['IMAGE', 'DIGEST', 'LAYERS', 'SIZE', 'OWN', 'HERE SINCE'], rows);
}
