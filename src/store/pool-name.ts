import { randomBytes } from 'node:crypto';

/** A name for a VM that waits for a job. Whoever takes it gives it another one. */
export function randomPoolName(): string {
  return `pool-${randomBytes(4).toString('hex')}`;
}

/** Whether a VM of that name may be one that waits: its record tells. */
export function isPoolName(name: string): boolean {
  return /^pool-[0-9a-f]{8}$/.test(name);
}
