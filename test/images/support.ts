import { spawn } from 'node:child_process';
import { chmod, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { VmRunnerError } from '../../src/core/errors.js';
import type { Log } from '../../src/core/log.js';
import type { ProcessIdentity } from '../../src/core/process-identity.js';
import { LinuxProcessTable } from '../../src/process/table.js';
import { openStore, type Store } from '../../src/store/store.js';
import { temporaryDirectory } from '../support/temporary-directory.js';

export async function temporaryStore(): Promise<{ store: Store; processes: LinuxProcessTable }> {
  const processes = new LinuxProcessTable();
  return { store: await openStore(path.join(await temporaryDirectory(), 'home'), processes), processes };
}

/** A log that keeps its lines. */
export function recordingLog(): Log & { readonly lines: string[] } {
  const lines: string[] = [];
  const add =
    (kind: string) =>
    (text: string): void => {
      lines.push(`${kind}: ${text}`);
    };
  return { lines, info: add('info'), warn: add('warn'), progress: add('progress'), section: (_title, work) => work() };
}

/** A program for a search path, written in JavaScript. */
export async function writeProgram(directory: string, name: string, source: string): Promise<string> {
  const file = path.join(directory, name);
  await writeFile(file, `#!${process.execPath}\n${source}\n`);
  await chmod(file, 0o755);
  return file;
}

/** A process that was there and is gone. */
export async function deadProcess(processes: LinuxProcessTable): Promise<ProcessIdentity> {
  const child = spawn('sleep', ['60'], { stdio: 'ignore' });
  const identity = processes.identify(child.pid ?? 0);
  const exited = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await exited;
  if (identity === undefined) throw new Error('sleep did not start');
  return identity;
}

/** The error of ours that a promise is rejected with. */
export async function rejection(promise: Promise<unknown>): Promise<VmRunnerError> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof VmRunnerError) return error;
    throw error;
  }
  throw new Error('it was not rejected');
}
