import { DEFAULT_DISK_MIB } from '../../core/job.js';
import type { Log } from '../../core/log.js';
import type { Confinement } from '../../process/confine.js';
import { makeCgroups } from './cgroup.js';
import { findProgram } from './identity.js';
import type { Acceleration } from './machine.js';
import { firstUser, ownUserGroups, QEMU_GROUP } from './own-user.js';
import type { QemuHost } from './plan.js';

const MIB = 2 ** 20;
/** What a qcow2 file needs besides its data: tables of 8 and 2 bytes for each 64 KiB, and some room. */
const DISK_TABLES = 1 / 4096;
const DISK_ROOM_MIB = 16;
/** What QEMU needs besides the guest's memory; emulation keeps up to 1 GiB of translated code. */
const OVERHEAD_MIB = { kvm: 512, tcg: 1536 } as const;
/** Threads of QEMU: processors, and up to 64 that wait for disks. */
const TASKS = 512;

/** How QEMUs are confined on this host: `groups` when each gets a user of its own. */
export interface HostConfinement {
  readonly setpriv: boolean;
  readonly groups: readonly number[] | undefined;
  /** Why QEMU runs as root, when it does. */
  readonly why: string | undefined;
}

export async function hostConfinement(
  { store, binary, searchPath, ownUsers }: QemuHost,
  acceleration: Acceleration,
): Promise<HostConfinement> {
  const setpriv = await isInstalled('setpriv', searchPath);
  const program = await findProgram(binary, searchPath);
  const groups = ownUsers ? ownUserGroups({ home: store.paths.home, program, acceleration, setpriv }) : undefined;
  if (typeof groups === 'string') return { setpriv, groups: undefined, why: groups };
  return { setpriv, groups: groups?.groups, why: undefined };
}

/** For a guest that is only tried and has no disk. */
export function probeConfinement({ store }: QemuHost, { setpriv, groups }: HostConfinement): Confinement {
  const user = groups === undefined ? undefined : { uid: firstUser(store.paths.home), gid: QEMU_GROUP, groups };
  return { setpriv, user, fileBytes: undefined, cgroups: [] };
}

/** For a VM, of which the control groups are made. */
export function vmConfinement(
  { store }: QemuHost,
  { setpriv }: HostConfinement,
  vm: {
    readonly name: string;
    readonly incarnation: string;
    readonly memoryMiB: number;
    readonly diskMiB?: number | undefined;
  },
  acceleration: Acceleration,
): Omit<Confinement, 'user'> {
  const { name, incarnation, memoryMiB, diskMiB = DEFAULT_DISK_MIB } = vm;
  const memoryBytes = (memoryMiB + OVERHEAD_MIB[acceleration]) * MIB;
  return {
    setpriv,
    fileBytes: Math.ceil(diskMiB * (1 + DISK_TABLES) + DISK_ROOM_MIB) * MIB,
    cgroups: makeCgroups(`${name}.${incarnation}${cgroupEnding(store.paths.home)}`, { memoryBytes, tasks: TASKS }),
  };
}

/** What the names of a store's control groups end with. */
export function cgroupEnding(home: string): string {
  return `.${firstUser(home)}`;
}

export function warnOfRoot({ why }: HostConfinement, log: Log): void {
  if (why !== undefined) log.warn(`QEMU runs as root (${why}): a guest that breaks out of it is root on this host`);
}

async function isInstalled(program: string, searchPath: string): Promise<boolean> {
  return findProgram(program, searchPath).then(
    () => true,
    () => false,
  );
}
