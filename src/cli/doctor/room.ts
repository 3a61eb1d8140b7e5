import type { Finding } from '../../core/finding.js';
import { formatCount, formatSize } from '../../core/units.js';
import type { Host } from '../../providers/provider.js';

const MIB = 2 ** 20;

/** Who has the room for VMs, what is left, and who waits. */
export async function lookAtRoom({ capacity }: Pick<Host, 'capacity'>): Promise<readonly Finding[]> {
  const { held, limits, measured, queue } = await capacity.snapshot();
  const of = (most: number | undefined): string => (most === undefined ? '' : ` of ${most}`);
  const memory = `${formatSize(held.memoryMiB * MIB)}${limits.memoryMiB === undefined ? '' : ` of ${formatSize(limits.memoryMiB * MIB)}`}`;
  const free = `${formatSize(measured.availableMemoryMiB * MIB)} and ${formatSize(measured.freeDiskMiB * MIB)} of disk are free`;
  const text = `${held.vms}${of(limits.vms)} VMs have ${held.cpus}${of(limits.cpus)} processors and ${memory}; ${free}`;
  const subject = 'room';
  if (queue.length === 0) return [{ level: 'ok', subject, text }];
  const jobs = formatCount(queue.length, 'job waits', 'jobs wait');
  return [{ level: 'warning', subject, text: `${jobs} for room: ${text}. See which with: vm-runner ps` }];
}
