import { chmod, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { fileError } from '../core/errors.js';
import { makeDirectories } from '../store/directories.js';

export interface LauncherOptions {
  /** Program that runs it. */
  readonly node: string;
  /** `dist/cli/index.js` of this installation. */
  readonly cli: string;
  /** The store of this job: what the command sees when nothing else says so. */
  readonly home: string;
  /** Where the launcher is made. */
  readonly directory: string;
}

/** Name of the command in later steps. */
const COMMAND = 'vm-runner';

/** The launcher: a shell script, because an action has no package manager that would link a program. */
export function launcherText({ node, cli, home }: Omit<LauncherOptions, 'directory'>): string {
  return [
    '#!/bin/sh',
    '# Written by the vm-runner action for the later steps of its job.',
    `: "\${VM_RUNNER_HOME:=${doubleQuoted(home)}}"`,
    'export VM_RUNNER_HOME',
    `exec ${singleQuoted(node)} ${singleQuoted(cli)} "$@"`,
    '',
  ].join('\n');
}

/** Makes the directory with the launcher in it; returns it. */
export async function writeLauncher(options: LauncherOptions): Promise<string> {
  const file = path.join(options.directory, COMMAND);
  try {
    await makeDirectories(options.directory);
    await writeFile(file, launcherText(options));
    await chmod(file, 0o755);
  } catch (cause) {
    throw fileError('write the launcher of the command line', file, cause);
  }
  return options.directory;
}

function singleQuoted(text: string): string {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`;
}

function doubleQuoted(text: string): string {
  return text.replaceAll(/[\\$`"}]/g, String.raw`\$&`);
}
