import { untrusted } from './untrusted.js';

export const LONGEST_NAME_BYTES = 4096;
/** What file systems take. */
const LONGEST_PART_BYTES = 255;
const MOST_PARTS = 256;

/** The plain path below a directory that a name of an archive means; `.` for the directory itself. */
export function safeName(name: string): string {
  if (name.includes('\0')) throw untrusted('a name with a zero byte', name);
  if (name.startsWith('/')) throw untrusted('a name that leads out of the directory', name);
  if (Buffer.byteLength(name) > LONGEST_NAME_BYTES) throw untrusted('an endless name', name);
  const parts = name.split('/').filter((part) => part !== '' && part !== '.');
  if (parts.includes('..')) throw untrusted('a name that leads out of the directory', name);
  if (parts.length > MOST_PARTS) throw untrusted('a name that is nested too deeply', name);
  if (parts.some((part) => Buffer.byteLength(part) > LONGEST_PART_BYTES)) throw untrusted('an endless name', name);
  return parts.length === 0 ? '.' : parts.join('/');
}

/**
 * Whether a link leads to a place below the directory, whatever other links are on its way: all its `..` stand at the front,
 * where the parents of the link are real directories, and there are no more of them than it has parents.
 */
export function staysInside(name: string, target: string): boolean {
  if (target === '' || target.startsWith('/') || target.includes('\0')) return false;
  const parts = target.split('/').filter((part) => part !== '' && part !== '.');
  const climbs = parts.findIndex((part) => part !== '..');
  const up = climbs === -1 ? parts.length : climbs;
  const depth = name.split('/').length - 1;
  return up <= depth && !parts.slice(up).includes('..');
}
