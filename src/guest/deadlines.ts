/** Calls that only ask or tell something small end within this. */
export const SHORT_CALL_MS = 10_000;
/** File systems are mounted, and an image's disk is looked at for the first time. */
export const ENTER_MS = 30_000;
/** Disks are synced first. */
export const SHUTDOWN_MS = 15_000;
/** The kernel grows a mounted file system block group by block group. */
export const GROW_DISK_MS = 120_000;
/** Removing or listing a directory takes as long as it is large. */
export const WALK_MS = 600_000;
