import type { Writable } from 'node:stream';

import { renderError, type VmRunnerError } from '../core/errors.js';
import type { Log } from '../core/log.js';
import { printable } from '../core/printable.js';

const PROGRESS_INTERVAL_MS = 10_000;
/** Clears the line, so that the marker itself is not seen (GitLab's documentation of custom collapsible sections). */
const CLEAR_LINE = '\r\x1b[0K';

/**
 * A log for GitLab's job page: plain lines without times (the Runner adds its own), sections that the page can fold.
 *
 * Everything goes to standard error by default: standard output is the JSON of config, and the script's alone in run.
 * @param info where lines go that are no warnings; the Runner shows those of cleanup only in its debug log
 */
export function driverLog(stderr: Writable, info: Writable = stderr): Log {
  let lastProgress = performance.now();
  let sections = 0;
  return {
    info: (text) => void info.write(`${printable(text)}\n`),
    warn: (text) => void stderr.write(`WARNING: ${printable(text)}\n`),
    progress: (text) => {
      if (performance.now() - lastProgress < PROGRESS_INTERVAL_MS) return;
      lastProgress = performance.now();
      info.write(`${text}\n`);
    },
    section: async (title, work) => {
      sections += 1;
      const name = `vm_runner_${sections}`;
      info.write(`section_start:${unixSeconds()}:${name}[collapsed=true]${CLEAR_LINE}${title}\n`);
      try {
        return await work();
      } finally {
        info.write(`section_end:${unixSeconds()}:${name}${CLEAR_LINE}\n`);
      }
    },
  };
}

function unixSeconds(): number {
  return Math.floor(Date.now() / 1000);
}

/** The last thing that a failed call says. */
export function reportError(stderr: Writable, error: VmRunnerError, thrown: unknown): void {
  // A cancel is no mistake of anybody's.
  const text = error.code === 'cancelled' ? error.message : renderError(error, 'ERROR');
  stderr.write(`${printable(text)}\n`);
  // A defect is only worth reporting with the place where it happened.
  if (error.blame === 'bug' && thrown instanceof Error) stderr.write(`${thrown.stack ?? ''}\n`);
}
