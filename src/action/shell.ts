import { VmRunnerError } from '../core/errors.js';

/** A command line that runs a script file; `{0}` in its words stands for the path of the script. */
export interface Shell {
  readonly words: readonly string[];
}

const PLACE = '{0}';

/** The runner's own meaning of these names, so that a script moves into a VM unchanged.[1] */
const NAMED: Readonly<Record<string, readonly string[]>> = {
  bash: ['bash', '--noprofile', '--norc', '-eo', 'pipefail', PLACE],
  sh: ['sh', '-e', PLACE],
  python3: ['python3', PLACE],
};
// [1] https://docs.github.com/actions/reference/workflow-syntax-for-github-actions#jobsjob_idstepsshell

/**
 * The `shell` input. A command line is split at spaces; quotes mean nothing in it, as with the runner's own custom shells.
 * @returns `undefined` for an empty one: the script's `#!` line decides, else `bash -e`
 * @throws invalid-input for a name that is not known and a command line without `{0}`.
 */
export function parseShell(text: string): Shell | undefined {
  if (text === '') return undefined;
  const named = Object.hasOwn(NAMED, text) ? NAMED[text] : undefined;
  if (named !== undefined) return { words: named };
  const words = text.split(/\s+/);
  if (words.length > 1 && words.slice(1).some((word) => word.includes(PLACE))) return { words };
  throw new VmRunnerError('invalid-input', 'not a shell', {
    subject: `shell: ${text}`,
    hint: `Give ${Object.keys(NAMED).join(', ')}, or a command line with {0} for the path of the script, such as "perl {0}".`,
  });
}

/** The arguments that run the script at `path`. */
export function shellArguments(shell: Shell, path: string): string[] {
  return shell.words.map((word) => word.replaceAll(PLACE, path));
}
