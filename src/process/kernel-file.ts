import { readFileSync } from 'node:fs';

import { fileError, systemCode } from '../core/errors.js';

/** Reads a file of the kernel's; `undefined` when there is none. */
export type ReadKernelFile = (file: string) => string | undefined;

export function readKernelFile(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch (cause) {
    const code = systemCode(cause);
    // ESRCH: the process went while it was looked at. EACCES: somebody else's, or hidden from us.
    if (code === 'ENOENT' || code === 'ESRCH' || code === 'EACCES' || code === 'ENOTDIR') return undefined;
    throw fileError('read a file of the kernel', file, cause);
  }
}

/** Fields of /proc/PID/stat from the third (state) on: the second may hold spaces and brackets. */
export function statFields(text: string): readonly string[] {
  return text.slice(text.lastIndexOf(')') + 2).split(' ');
}

/** Bytes from a line like `MemTotal:  1024 kB`. */
export function kibibytes(text: string | undefined, field: string): number | undefined {
  const digits = new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(text ?? '')?.[1];
  return digits === undefined ? undefined : Number(digits) * 1024;
}
