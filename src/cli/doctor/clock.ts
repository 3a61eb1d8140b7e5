import type { Finding } from '../../core/finding.js';
import type { Host } from '../../providers/provider.js';

/** No vm-runner existed before. */
const EARLIEST_MS = Date.UTC(2026, 0, 1);
/** Clocks that are set by the network jump by less. */
const TOLERANCE_MS = 60_000;

/** Whether the clock of this host can be right: guests get its time, and expiries are read from it. */
export async function lookAtClock({ store }: Host, now: number): Promise<readonly Finding[]> {
  const subject = 'clock';
  const iso = Number.isFinite(now) ? new Date(now).toISOString() : 'unreadable';
  if (!(now >= EARLIEST_MS)) {
    return [{ level: 'problem', subject, text: `it says ${iso}: certificates fail. Set it, best by NTP.` }];
  }
  const { records } = await store.vms.list();
  const newest = records.filter(({ createdAt }) => createdAt > now + TOLERANCE_MS).map(({ name }) => name);
  if (newest.length === 0) return [{ level: 'ok', subject, text: iso }];
  const text = `it was set back: ${newest.join(', ')} would be made in the future. They live longer than they should.`;
  return [{ level: 'warning', subject, text }];
}
