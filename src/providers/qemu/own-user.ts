import { createHash } from 'node:crypto';
import { readFileSync, realpathSync, statSync } from 'node:fs';
import path from 'node:path';

import type { ProgramUser } from '../../process/confine.js';
import { acquireLock } from '../../store/lock.js';
import type { Store } from '../../store/store.js';
import type { ProcessTable } from '../../core/process-identity.js';
import type { Acceleration } from './machine.js';

/**
 * Ids that no account has: above what systemd gives to containers, below what the kernel takes for a negative number. The first is
 * the group of every QEMU of ours, the others are users: {@link IDS_PER_STORE} for each store of a host.
 */
export const QEMU_GROUP = 1_900_000_000;
const IDS_PER_STORE = 10_000;
const STORES = 9000;

/** CHOWN, DAC_OVERRIDE, FOWNER, KILL, SETGID, SETUID, SETPCAP: to give files away, start as another user, and end that. */
const CAPABILITIES = [0, 1, 3, 5, 6, 7, 8];
const KVM_DEVICE = '/dev/kvm';

export interface OwnUserOptions {
  readonly home: string;
  /** Path of QEMU. */
  readonly program: string;
  readonly acceleration: Acceleration;
  readonly setpriv: boolean;
  /** Default: `/dev/kvm`. */
  readonly kvmDevice?: string;
}

/**
 * Whether QEMU can run as a user of its own here.
 * @returns the groups that it then needs; `undefined` when we are no root, whose QEMU is its own user's; else why not
 */
export function ownUserGroups(options: OwnUserOptions): { readonly groups: readonly number[] } | string | undefined {
  if (process.geteuid?.() !== 0) return undefined;
  if (!options.setpriv) return 'setpriv is not installed';
  if (!mayChangeUsers()) return 'this container may not change users';
  const closed = closedDirectory(path.dirname(options.home)) ?? closedDirectory(path.dirname(options.program));
  if (closed !== undefined) return `other users cannot enter ${closed}`;
  if (options.acceleration !== 'kvm') return { groups: [] };
  const { kvmDevice = KVM_DEVICE } = options;
  const { mode, gid } = statSync(kvmDevice);
  if ((mode & 0o006) === 0o006) return { groups: [] };
  if ((mode & 0o060) === 0o060 && gid !== 0) return { groups: [gid] };
  return `only root may open ${kvmDevice}`;
}

/** Runs work with a user for a VM that no other VM of this store has; the work must write it into the record of the VM. */
export async function withFreeUser<T>(
  { store, processes }: { readonly store: Store; readonly processes: ProcessTable },
  groups: readonly number[],
  signal: AbortSignal,
  work: (user: ProgramUser) => Promise<T>,
): Promise<T> {
  const lock = await acquireLock(path.join(store.paths.locks, 'vmm-users'), { processes, signal });
  try {
    const taken = await store.vms.vmmUids();
    let uid = firstUser(store.paths.home) + 1;
    while (taken.has(uid)) uid += 1;
    return await work({ uid, gid: QEMU_GROUP, groups });
  } finally {
    await lock.release();
  }
}

/** The first of a store's users; no VM has it, so that what is only tried can. */
export function firstUser(home: string): number {
  const { dev, ino } = statSync(home);
  const place = createHash('sha256').update(`${dev}:${ino}`).digest().readUInt32BE() % STORES;
  return QEMU_GROUP + IDS_PER_STORE * (1 + place);
}

function mayChangeUsers(): boolean {
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0';
  const has = BigInt(`0x${effective}`);
  if (CAPABILITIES.some((bit) => (has & (1n << BigInt(bit))) === 0n)) return false;
  return ['uid_map', 'gid_map'].every((map) => mapsOurs(readFileSync(`/proc/self/${map}`, 'utf8')));
}

/** Whether a user namespace has our ids: "first inside, first outside, how many" in each line. */
function mapsOurs(map: string): boolean {
  const last = QEMU_GROUP + IDS_PER_STORE * (1 + STORES);
  return map.split('\n').some((line) => {
    const [inside = 0, , count = 0] = line.trim().split(/\s+/).map(Number);
    return inside <= QEMU_GROUP && inside + count > last;
  });
}

/** The first directory above that not everybody can pass. */
function closedDirectory(directory: string): string | undefined {
  let at = realpathSync(directory);
  let closed: string | undefined;
  for (;;) {
    if ((statSync(at).mode & 0o001) === 0) closed = at;
    const parent = path.dirname(at);
    if (parent === at) return closed;
    at = parent;
  }
}
