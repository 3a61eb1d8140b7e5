import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { delay } from '../../core/deadline.js';
import { fileError, systemCode } from '../../core/errors.js';

/** What one VM may have of its host, with all of QEMU's threads. */
export interface CgroupLimits {
  readonly memoryBytes: number;
  readonly tasks: number;
}

/** A hierarchy that we found, and what limits are called there. */
interface Hierarchy {
  readonly parent: string;
  readonly files: (limits: CgroupLimits) => Readonly<Record<string, number>>;
}

/** All VMs are below this one. */
const OURS = 'vm-runner';
const REMOVE_MS = 2000;
const POLL_MS = 5;

/**
 * Makes the control groups of a VM where this host lets us: version 2 of them, else version 1. Never needed: where there are none, or
 * others decide over them, there is none of ours.
 * @param name of no other VM of this host
 * @param proc what /proc says of us, and so where the hierarchies are
 * @returns their directories
 */
export function makeCgroups(name: string, limits: CgroupLimits, proc = '/proc/self'): readonly string[] {
  const made: string[] = [];
  for (const { parent, files } of hierarchies(proc)) {
    const directory = path.join(parent, OURS, name);
    try {
      makeDirectory(path.dirname(directory));
      delegate(path.dirname(directory));
      makeDirectory(directory);
      made.push(directory);
      for (const [file, value] of Object.entries(files(limits))) {
        writeFileSync(path.join(directory, file), String(value));
      }
    } catch {
      if (made.at(-1) === directory) made.pop();
      removeEmpty(directory);
    }
  }
  return made;
}

/** Removes control groups of a VM that has ended. @throws host-file-failed when something still runs there. */
export async function removeCgroups(directories: readonly string[]): Promise<void> {
  for (const directory of directories) {
    // They come from a record: nothing but an empty control group is removed by this, and only one of ours.
    if (path.basename(path.dirname(directory)) !== OURS) continue;
    const end = performance.now() + REMOVE_MS;
    while (!removeEmpty(directory)) {
      if (performance.now() > end) throw fileError('remove a control group', directory, { code: 'EBUSY' });
      await delay(POLL_MS);
    }
  }
}

/** Where control groups of VMs are made here, one directory for each hierarchy. */
export function cgroupRooms(): readonly string[] {
  return hierarchies('/proc/self').map(({ parent }) => path.join(parent, OURS));
}

/** Whether the kernel killed something in these because the memory of the group, or of the host, was used up. */
export function ranOutOfMemory(directories: readonly string[]): boolean {
  const counts = directories.flatMap((directory) =>
    ['memory.events', 'memory.oom_control'].map((file) => {
      try {
        return Number(/^oom_kill (\d+)$/m.exec(readFileSync(path.join(directory, file), 'utf8'))?.[1] ?? 0);
      } catch {
        // The other version's, or gone.
        return 0;
      }
    }),
  );
  return counts.some((count) => count > 0);
}

function hierarchies(proc: string): readonly Hierarchy[] {
  const mounts = cgroupMounts(proc);
  const unified = mounts.find(({ type }) => type === 'cgroup2');
  if (unified !== undefined && controllersOf(unified.mount).has('memory')) {
    const files = ({ memoryBytes, tasks }: CgroupLimits) => ({ 'memory.max': memoryBytes, 'pids.max': tasks });
    // Not below our own group: version 2 has no groups in which there are both processes and groups with limits.
    return delegate(unified.mount) ? [{ parent: unified.mount, files }] : [];
  }
  const own = readFileSync(path.join(proc, 'cgroup'), 'utf8');
  return (['memory', 'pids'] as const).flatMap((controller) => {
    const found = mounts.find(({ type, options }) => type === 'cgroup' && options.includes(controller));
    if (found === undefined) return [];
    const at = new RegExp(`^\\d+:(?:[^:]*,)?${controller}(?:,[^:]*)?:(.*)$`, 'm').exec(own)?.[1] ?? '/';
    const below = at.startsWith(found.root) ? at.slice(found.root.length) : '';
    const files = ({ memoryBytes, tasks }: CgroupLimits): Record<string, number> =>
      controller === 'memory' ? { 'memory.limit_in_bytes': memoryBytes } : { 'pids.max': tasks };
    return [{ parent: path.join(found.mount, below), files }];
  });
}

interface CgroupMount {
  readonly root: string;
  readonly mount: string;
  readonly type: string;
  readonly options: readonly string[];
}

/** https://man7.org/linux/man-pages/man5/proc_pid_mountinfo.5.html */
function cgroupMounts(proc: string): readonly CgroupMount[] {
  return readFileSync(path.join(proc, 'mountinfo'), 'utf8')
    .split('\n')
    .map((line) => {
      const [left = '', right = ''] = line.split(' - ');
      const [, , , root = '', mount = ''] = left.split(' ');
      const [type = '', , options = ''] = right.split(' ');
      return { root: root === '/' ? '' : root, mount, type, options: options.split(',') };
    })
    .filter(({ type }) => type === 'cgroup' || type === 'cgroup2');
}

function controllersOf(directory: string): ReadonlySet<string> {
  try {
    return new Set(readFileSync(path.join(directory, 'cgroup.controllers'), 'utf8').trim().split(' '));
  } catch {
    return new Set();
  }
}

/** Lets groups below have limits; version 1 always does. */
function delegate(directory: string): boolean {
  try {
    const file = path.join(directory, 'cgroup.subtree_control');
    const has = readFileSync(file, 'utf8').trim().split(' ');
    if (!has.includes('memory') || !has.includes('pids')) writeFileSync(file, '+memory +pids');
    return true;
  } catch {
    return false;
  }
}

function makeDirectory(directory: string): void {
  try {
    mkdirSync(directory);
  } catch (error) {
    if (systemCode(error) !== 'EEXIST') throw error;
  }
}

/** @returns whether it is gone */
export function removeEmpty(directory: string): boolean {
  try {
    rmdirSync(directory);
    return true;
  } catch (error) {
    return systemCode(error) === 'ENOENT';
  }
}
