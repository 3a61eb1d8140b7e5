import type { Finding } from '../../core/finding.js';
import { formatSize } from '../../core/units.js';
import type { Host } from '../../providers/provider.js';
import { collectGarbage, type GcOptions } from '../../stages/gc.js';

/** What gc would take away, and what it could not look at. */
export async function lookForStaleThings(host: Host, options: Omit<GcOptions, 'dryRun'>): Promise<readonly Finding[]> {
  const { garbage, failures } = await collectGarbage(host, { ...options, dryRun: true });
  const subject = 'stale things';
  const problems = failures.map(({ message }): Finding => ({ level: 'problem', subject, text: message }));
  if (garbage.length === 0) return [...problems, { level: 'ok', subject, text: 'none' }];
  const counts = new Map<string, number>();
  for (const { kind } of garbage) counts.set(kind, (counts.get(kind) ?? 0) + 1);
  const kinds = [...counts].map(([kind, count]) => `${count} ${kind}`).join(', ');
  const bytes = garbage.reduce((sum, each) => sum + each.bytes, 0);
  const text = `${kinds} (${formatSize(bytes)}). Look at them with "vm-runner gc --dry-run", remove them with: vm-runner gc`;
  return [...problems, { level: 'warning', subject, text }];
}
