import type { ProcessIdentity, ProcessTable } from '../core/process-identity.js';
import { kibibytes, readKernelFile, statFields, type ReadKernelFile } from './kernel-file.js';

/** What a process uses of its host. */
export interface ProcessUsage {
  /** Time that processors worked for it since it started, in milliseconds: all of its threads together. */
  readonly cpuMs: number;
  /** Bytes. Of memory that it shares it has its part (PSS); where that cannot be read, all of it counts (RSS). */
  readonly memoryBytes: number;
  readonly threads: number;
}

/** Clock ticks of /proc a second, on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100;
/** Places in {@link statFields} (man 5 proc, fields 14 and 15). */
const USER_TICKS = 11;
const SYSTEM_TICKS = 12;

/** `undefined` when the process is gone. */
export function processUsage(
  identity: ProcessIdentity,
  processes: Pick<ProcessTable, 'isAlive'>,
  read: ReadKernelFile = readKernelFile,
): ProcessUsage | undefined {
  const at = (file: string): string | undefined => read(`/proc/${identity.pid}/${file}`);
  const stat = at('stat');
  const status = at('status');
  const memoryBytes = kibibytes(at('smaps_rollup'), 'Pss') ?? kibibytes(status, 'VmRSS');
  const threads = /^Threads:\s+(\d+)$/m.exec(status ?? '')?.[1];
  // Only now: the number may have been given to another process while it was read.
  if (stat === undefined || memoryBytes === undefined || threads === undefined || !processes.isAlive(identity)) {
    return undefined;
  }
  const fields = statFields(stat);
  const ticks = Number(fields[USER_TICKS]) + Number(fields[SYSTEM_TICKS]);
  return { cpuMs: (ticks / TICKS_PER_SECOND) * 1000, memoryBytes, threads: Number(threads) };
}
