/** The memory of this host, as far as this process may have it. Bytes. */
export interface MemoryReading {
  /** All that there is, or less when a control group limits this process. */
  readonly total: number;
  /** What programs can have without anybody being pushed out. */
  readonly available: number;
}

/** Measures memory. */
export interface HostMemory {
  read(): MemoryReading;
  /** What a process has for itself alone or shares by intent, in bytes; 0 when it is gone. Files that it maps do not count. */
  usedBy(pid: number): number;
}
