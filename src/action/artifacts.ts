import { VmRunnerError } from '../core/errors.js';
import { absoluteGuestPath, splitGlob } from '../core/glob.js';
import type { Selection } from '../stages/collect.js';
import { residualGlobs } from './residual-globs.js';

/** The `artifacts` input: globs of the guest, as they were given. */
export interface Artifacts {
  readonly include: readonly string[];
  /** Without their `!`. */
  readonly exclude: readonly string[];
}

/** @param mistakes gets one error for each glob without a meaning */
export function parseArtifacts(text: string, mistakes: VmRunnerError[]): Artifacts {
  const lines = text.split(/\r?\n/).map((line) => line.trim());
  const globs = lines.filter((line) => line !== '');
  const exclude = globs.filter((glob) => glob.startsWith('!')).map((glob) => glob.slice(1).trim());
  const include = globs.filter((glob) => !glob.startsWith('!'));
  const refuse = (reason: string, glob: string, hint: string): void => {
    mistakes.push(new VmRunnerError('invalid-input', reason, { subject: `artifacts: ${glob}`, hint }));
  };
  for (const glob of [...include, ...exclude]) {
    if (glob === '') refuse('empty glob', '!', 'Give what shall be left out after the "!".');
    else if (glob.split('/').includes('..')) refuse('glob with ".."', glob, 'Give the path without it.');
  }
  if (include.length === 0 && exclude.length > 0) {
    refuse('nothing to bring home', exclude.map((glob) => `!${glob}`).join(' '), 'Give at least one glob without "!".');
  }
  return { include, exclude };
}

/** What to collect: every glob below one directory, without what any `!` line leaves out of it. */
export function selectArtifacts(artifacts: Artifacts, workingDirectory: string, target: string): Selection[] {
  return artifacts.include.map((glob) => {
    const { directory } = splitGlob(glob, workingDirectory);
    const exclude = artifacts.exclude.flatMap((pattern) =>
      residualGlobs(absoluteGuestPath(pattern, workingDirectory), directory),
    );
    return { glob, exclude: [...new Set(exclude)], target };
  });
}
