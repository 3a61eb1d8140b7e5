import { VmRunnerError } from '../core/errors.js';

/**
 * The `env` input: one `NAME=value` a line. Blank lines mean nothing; a value is kept as it is, spaces and further `=`
 * included.
 * @param mistakes gets one error for each line that is none; it names the line and not its text, which may hold a secret
 */
export function parseEnv(text: string, mistakes: VmRunnerError[]): Readonly<Record<string, string>> {
  const env: Record<string, string> = {};
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    if (line.trim() === '') continue;
    const equals = line.indexOf('=');
    const name = line.slice(0, equals).trim();
    if (equals === -1 || !/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) {
      mistakes.push(
        new VmRunnerError('invalid-input', 'not an environment variable', {
          subject: `env, line ${index + 1}`,
          hint: 'Give one NAME=value a line; a name has letters, digits and _ and starts with no digit.',
        }),
      );
    } else {
      env[name] = line.slice(equals + 1);
    }
  }
  return env;
}
