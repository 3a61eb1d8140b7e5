/**
 * A process that is still the same one when it is looked up later: a pid alone may have been given to another process
 * since, and after a reboot everything has.
 */
export interface ProcessIdentity {
  readonly pid: number;
  /** Start time in clock ticks since boot: field 22 of /proc/PID/stat. */
  readonly startTime: string;
  /** /proc/sys/kernel/random/boot_id of the host. */
  readonly bootId: string;
}

/** The processes of this host, as far as records and locks need to know them. */
export interface ProcessTable {
  readonly self: ProcessIdentity;
  /** `undefined` when there is no such process. */
  identify(pid: number): ProcessIdentity | undefined;
  isAlive(identity: ProcessIdentity): boolean;
}

/** A {@link ProcessIdentity} from foreign JSON; `undefined` when it is none. */
export function parseProcessIdentity(value: unknown): ProcessIdentity | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const { pid, startTime, bootId } = value as Partial<Record<keyof ProcessIdentity, unknown>>;
  if (typeof pid !== 'number' || !Number.isSafeInteger(pid) || pid <= 0) return undefined;
  if (typeof startTime !== 'string' || typeof bootId !== 'string') return undefined;
  return { pid, startTime, bootId };
}
