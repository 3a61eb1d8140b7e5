import { access, constants, stat, statfs } from 'node:fs/promises';

import { fileError } from '../../core/errors.js';
import type { Finding } from '../../core/finding.js';
import { formatSize } from '../../core/units.js';
import type { Host } from '../../providers/provider.js';

const MIB = 2 ** 20;
/** A few jobs more, and it is full. */
const SPARSE_BYTES = 10 * 2 ** 30;
/** VMs write that at once. */
const NEEDED_BYTES = 2 ** 30;
const SPARSE_INODES = 10_000;

/** Whether the store can be written, is nobody else's, and has room. */
export async function lookAtStore({ store, config }: Host): Promise<readonly Finding[]> {
  const { home } = store.paths;
  try {
    await access(home, constants.W_OK);
    const { bavail, bsize, ffree, files } = await statfs(home);
    // Throws its sentence when sockets would not fit.
    store.vms.paths('x'.repeat(40));
    const { mode } = await stat(home);
    return [
      space(home, bavail * bsize, config.capacity.keepFreeDiskMiB * MIB),
      ...(files > 0 && ffree < SPARSE_INODES ? [inodes(home, ffree)] : []),
      ...((mode & 0o022) === 0 ? [] : [open(home)]),
    ];
  } catch (cause) {
    throw fileError('use the store', home, cause);
  }
}

function space(home: string, free: number, kept: number): Finding {
  const text = `${home} has ${formatSize(free)} free`;
  const advice = 'Free some space: vm-runner gc, or budgets in the host file.';
  if (free < kept + NEEDED_BYTES) return { level: 'problem', subject: 'store', text: `${text}: jobs wait. ${advice}` };
  if (free < SPARSE_BYTES) return { level: 'warning', subject: 'store', text: `${text}: jobs may fill it. ${advice}` };
  return { level: 'ok', subject: 'store', text };
}

function inodes(home: string, free: number): Finding {
  const text = `${home} can have only ${free} files more. Remove files that nobody needs, or move the store.`;
  return { level: 'warning', subject: 'store', text };
}

function open(home: string): Finding {
  const text = `others may write to ${home}, and so change what jobs run in. Take that away with: chmod go-w ${home}`;
  return { level: 'problem', subject: 'store', text };
}
