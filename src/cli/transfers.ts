import { stat } from 'node:fs/promises';
import path from 'node:path';

import { VmRunnerError } from '../core/errors.js';

/** `--put SRC:DST`: a host path and the path in the guest that it becomes. */
export interface Put {
  readonly source: string;
  readonly target: string;
  readonly isDirectory: boolean;
}

/** `--get GLOB[:DIR]`: what to bring home, and where. */
export interface Get {
  readonly glob: string;
  readonly directory: string;
}

/** Splits at the last colon; adds what is wrong to `mistakes`. */
export async function readPut(text: string, cwd: string, mistakes: VmRunnerError[]): Promise<Put | undefined> {
  const colon = text.lastIndexOf(':');
  if (colon <= 0 || colon === text.length - 1) {
    mistakes.push(
      new VmRunnerError('invalid-input', 'not of the form SRC:DST', {
        subject: `--put ${text}`,
        hint: 'Name the host path, a colon, and the path in the guest.',
      }),
    );
    return undefined;
  }
  const source = path.resolve(cwd, text.slice(0, colon));
  try {
    return { source, target: text.slice(colon + 1), isDirectory: (await stat(source)).isDirectory() };
  } catch (cause) {
    mistakes.push(
      new VmRunnerError('invalid-input', 'nothing to copy at that path', {
        subject: `--put ${text.slice(0, colon)}`,
        hint: 'Check the path.',
        cause,
      }),
    );
    return undefined;
  }
}

/** Without a directory files come to the current one. */
export function readGet(text: string, cwd: string, mistakes: VmRunnerError[]): Get | undefined {
  const colon = text.lastIndexOf(':');
  const glob = colon === -1 ? text : text.slice(0, colon);
  const directory = colon === -1 ? '.' : text.slice(colon + 1);
  if (glob === '' || directory === '') {
    mistakes.push(
      new VmRunnerError('invalid-input', 'not of the form GLOB[:DIR]', {
        subject: `--get ${text}`,
        hint: 'Name a glob in the guest, and the directory here that files go to.',
      }),
    );
    return undefined;
  }
  return { glob, directory: path.resolve(cwd, directory) };
}
