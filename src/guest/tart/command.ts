import { VmRunnerError } from '../../core/errors.js';

/** A program as Tart's first message names it. */
export interface TartCommand {
  readonly name: string;
  readonly args: readonly string[];
}

export interface CommandOptions {
  readonly env: Readonly<Record<string, string>>;
  readonly clearEnv: boolean;
  readonly cwd: string | undefined;
}

/**
 * Runs in the guest when a directory or variables are wanted: an older agent knows no fields for them. Its own name is the
 * marker (see {@link MarkerFilter}), its first argument the directory. It looks the program up itself, since what a shell
 * says when it cannot run one is for people.
 */
const START = `
case $1 in
  ?*) cd "$1" 2>/dev/null || { echo "$0 bad-cwd" >&2; exit 1; } ;;
esac
shift
case $1 in
  */*)
    [ -e "$1" ] || { echo "$0 command-not-found" >&2; exit 127; }
    if [ -d "$1" ] || [ ! -x "$1" ]; then echo "$0 not-executable" >&2; exit 126; fi ;;
  *) command -v "$1" >/dev/null 2>&1 || { echo "$0 command-not-found" >&2; exit 127; } ;;
esac
exec "$@"`;

/** The command itself when nothing else is wanted, or one that prepares it first. */
export function tartCommand(argv: readonly string[], marker: string, options: CommandOptions): TartCommand {
  const [name, ...args] = argv;
  if (name === undefined || name === '') {
    throw new VmRunnerError('guest-request-refused', 'no program: its argv is empty', { hint: 'Name one.' });
  }
  const assignments = Object.entries(options.env).map(([key, value]) => assignment(key, value));
  const { cwd = '', clearEnv } = options;
  if (cwd === '' && assignments.length === 0 && !clearEnv) return { name, args };
  if (cwd !== '' && !cwd.startsWith('/')) {
    throw new VmRunnerError('guest-request-refused', 'not an absolute path in the guest', { subject: cwd });
  }
  return {
    name: '/usr/bin/env',
    args: [...(clearEnv ? ['-i'] : []), ...assignments, '/bin/sh', '-c', START, marker, cwd, name, ...args],
  };
}

/** `env` takes what has an equals sign as a variable, and what begins with a dash as a flag. */
function assignment(key: string, value: string): string {
  if (key === '' || key.startsWith('-') || /[=\0]/.test(key) || value.includes('\0')) {
    throw new VmRunnerError('guest-request-refused', 'not the name of a variable', { subject: JSON.stringify(key) });
  }
  return `${key}=${value}`;
}
