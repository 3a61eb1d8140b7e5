import type { Log } from '../core/log.js';
import { printable } from '../core/printable.js';

const PLAIN_PROGRESS_INTERVAL_MS = 5000;
const PREFIX = 'vm-runner: ';
const CLEAR_LINE = '\r\x1b[K';

/**
 * What vm-runner says on the command line: everything to standard error, since standard output is the guest's alone.
 * On a terminal progress stands on one line that is rewritten, in a log a line comes every five seconds at most.
 */
export function terminalLog(stderr: NodeJS.WriteStream, options: { readonly quiet: boolean }): Log {
  let progressShown = false;
  let lastProgress = -Infinity;
  const line = (text: string): void => {
    stderr.write(`${progressShown ? CLEAR_LINE : ''}${PREFIX}${printable(text)}\n`);
    progressShown = false;
  };
  return {
    info: (text) => (options.quiet ? undefined : line(text)),
    warn: (text) => line(`warning: ${text}`),
    progress: (text) => {
      if (options.quiet) return;
      if (stderr.isTTY) {
        stderr.write(`${CLEAR_LINE}${PREFIX}${text.slice(0, Math.max(20, stderr.columns - PREFIX.length - 1))}`);
        progressShown = true;
        return;
      }
      if (performance.now() - lastProgress < PLAIN_PROGRESS_INTERVAL_MS) return;
      lastProgress = performance.now();
      line(text);
    },
    section: (title, work) => {
      if (!options.quiet) line(title);
      return work();
    },
  };
}
