import { statfs } from 'node:fs/promises';

import { fileError, VmRunnerError } from '../../core/errors.js';
import { formatSize } from '../../core/units.js';

/** A job that finds less than this on its host fails in the middle, with errors that nobody understands. */
const NEEDED_BYTES = 2 ** 30;

/** @throws disk-full when the disk below `directory` has too little space for what a guest writes. */
export async function checkFreeSpace(directory: string, neededBytes = NEEDED_BYTES): Promise<void> {
  let free: number;
  try {
    const { bavail, bsize } = await statfs(directory);
    free = bavail * bsize;
  } catch (cause) {
    throw fileError('look at the free space', directory, cause);
  }
  if (free >= neededBytes) return;
  throw new VmRunnerError(
    'disk-full',
    `only ${formatSize(free)} free, a VM needs at least ${formatSize(neededBytes)}`,
    {
      subject: directory,
      hint: 'Free some space, or point VM_RUNNER_HOME to a larger disk.',
    },
  );
}
