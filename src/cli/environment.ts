import { readFile } from 'node:fs/promises';

import { fileError, systemCode, VmRunnerError } from '../core/errors.js';

const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;

/**
 * The guest's environment from `--env-file` (first) and `--env` (over it). `NAME` alone takes the value that we have.
 * Adds what is wrong to `mistakes`.
 */
export async function readEnvironment(
  files: readonly string[],
  assignments: readonly string[],
  ours: Readonly<Record<string, string | undefined>>,
  mistakes: VmRunnerError[],
): Promise<Record<string, string>> {
  const env: Record<string, string> = {};
  for (const file of files) {
    const lines = (await readLines(file, mistakes)).map((line) => line.trim());
    for (const [index, line] of lines.entries()) {
      if (line !== '' && !line.startsWith('#')) assign(env, line, `${file}:${index + 1}`, ours, mistakes);
    }
  }
  for (const assignment of assignments)
    assign(env, assignment, `--env ${assignment.split('=')[0] ?? ''}`, ours, mistakes);
  return env;
}

function assign(
  env: Record<string, string>,
  text: string,
  place: string,
  ours: Readonly<Record<string, string | undefined>>,
  mistakes: VmRunnerError[],
): void {
  const equals = text.indexOf('=');
  const name = equals === -1 ? text : text.slice(0, equals);
  if (!NAME.test(name)) {
    mistakes.push(
      new VmRunnerError('invalid-input', 'not the name of a variable', {
        subject: place,
        hint: 'Write NAME=VALUE, or NAME alone.',
      }),
    );
    return;
  }
  // A variable that we do not have stays unset in the guest, as with docker.
  const value = equals === -1 ? ours[name] : text.slice(equals + 1);
  if (value !== undefined) env[name] = value;
}

async function readLines(file: string, mistakes: VmRunnerError[]): Promise<string[]> {
  try {
    return (await readFile(file, 'utf8')).split(/\r?\n/);
  } catch (cause) {
    mistakes.push(
      systemCode(cause) === 'ENOENT'
        ? new VmRunnerError('invalid-input', 'no such file', {
            subject: `--env-file ${file}`,
            hint: 'Check the path.',
            cause,
          })
        : fileError('read a file', file, cause),
    );
    return [];
  }
}
