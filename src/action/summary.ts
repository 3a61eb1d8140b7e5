import type { Span } from '../core/log.js';
import { renderTimeline } from '../core/log.js';
import { formatDuration } from '../core/units.js';
import type { Runner } from './runner.js';

export interface SummaryFacts {
  readonly image: string;
  /** `2 CPUs, 2048 MiB`. */
  readonly size: string;
  readonly spans: readonly Span[];
  readonly exitCode: string;
  readonly artifacts: string | undefined;
}

/** The rows of the job summary: what was booted, how long each step took, how it ended. */
export function summaryRows(facts: SummaryFacts): readonly (readonly [string, string])[] {
  return [
    ['image', facts.image],
    ['size', facts.size],
    ['timeline', renderTimeline(facts.spans, formatDuration)],
    ...(facts.artifacts === undefined ? [] : [['artifacts', facts.artifacts] as const]),
    ['exit code', facts.exitCode],
  ];
}

/** Adds a short table to the summary page of the job. */
export async function writeSummary(runner: Pick<Runner, 'summary'>, facts: SummaryFacts): Promise<void> {
  const rows = summaryRows(facts).map(([name, value]) => [{ data: name, header: true }, { data: escapeHtml(value) }]);
  await runner.summary.addHeading('vm-runner', 3).addTable(rows).write();
}

/** Names of boot steps come from the guest, and the summary is HTML. */
function escapeHtml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
