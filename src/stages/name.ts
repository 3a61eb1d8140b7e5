import { randomBytes } from 'node:crypto';

/** A name that nobody can guess from a job: `vm-` and ten characters. Short, because it is part of socket paths. */
export function randomVmName(): string {
  return `vm-${randomBytes(5).toString('hex')}`;
}
