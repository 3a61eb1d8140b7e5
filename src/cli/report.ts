import type { VmRunnerError } from '../core/errors.js';
import type { ExitStatus } from '../core/job.js';
import type { Span } from '../core/log.js';
import type { CollectResult } from '../stages/collect.js';
import { writeWhole } from '../store/whole-file.js';
import type { RunSettings } from './run-settings.js';

/** What `run --report` tells: the whole story, for programs. */
export interface RunStory {
  readonly settings: RunSettings;
  readonly exitCode: number;
  readonly status: ExitStatus | undefined;
  readonly collected: CollectResult | undefined;
  readonly error: VmRunnerError | undefined;
  readonly spans: readonly Span[];
}

export async function writeReport(file: string, story: RunStory): Promise<void> {
  const { settings, status, collected, error } = story;
  const report = {
    version: 1,
    vm: { name: settings.name, ...settings.order.vm, kept: settings.keep },
    exitCode: story.exitCode,
    program: status === undefined ? null : { code: status.code, signal: status.signal },
    collected:
      collected === undefined
        ? null
        : { files: collected.files, bytes: collected.bytes, unmatched: collected.unmatched },
    error:
      error === undefined
        ? null
        : { code: error.code, blame: error.blame, message: error.message, detail: error.detail ?? null },
    timeline: story.spans.map(({ name, startMs, endMs }) => ({
      name,
      startMs: Math.round(startMs),
      endMs: Math.round(endMs),
    })),
  };
  await writeWhole(file, `${JSON.stringify(report, undefined, 2)}\n`, 0o644);
}
