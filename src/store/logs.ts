import { open, stat, truncate } from 'node:fs/promises';
import path from 'node:path';

import { fileError, systemCode } from '../core/errors.js';
import { printable } from '../core/printable.js';
import { makeDirectories } from './directories.js';
import type { StorePaths, VmPaths } from './paths.js';
import { writeWhole } from './whole-file.js';

const KEPT_BYTES = 1024 * 1024;
/** A console that is longer was flooded: nobody reads it, and it would fill the disk of the host. */
const MOST_CONSOLE_BYTES = 8 * 1024 * 1024;

/** The last bytes of a file; an absent one is empty. */
export async function readTail(file: string, bytes: number): Promise<string> {
  let handle;
  try {
    handle = await open(file, 'r');
  } catch (cause) {
    if (systemCode(cause) === 'ENOENT') return '';
    throw fileError('read a log', file, cause);
  }
  try {
    const { size } = await handle.stat();
    const length = Math.min(size, bytes);
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(length), 0, length, size - length);
    return buffer.toString('utf8', 0, bytesRead);
  } finally {
    await handle.close();
  }
}

/** The last lines of a file that a guest may have written: control characters are taken out. */
export async function readLastLines(file: string, lines: number): Promise<string> {
  const text = printable((await readTail(file, 16 * 1024)).replaceAll('\r', ''));
  return text.trimEnd().split('\n').slice(-lines).join('\n').trim();
}

/** Empties the console of a running VM when it has become too long. What writes it appends. */
export async function boundConsole(file: string): Promise<void> {
  try {
    if ((await stat(file)).size > MOST_CONSOLE_BYTES) await truncate(file);
  } catch (cause) {
    // No VM, no console.
    if (systemCode(cause) !== 'ENOENT') throw fileError('shorten a log', file, cause);
  }
}

/** Keeps the end of the logs of a VM that is about to go. Returns where they are. */
export async function archiveLogs(store: StorePaths, name: string, vm: VmPaths): Promise<string | undefined> {
  const directory = path.join(store.logs, name);
  let kept = false;
  for (const file of [vm.console, vm.vmmLog, vm.jobLogBefore, vm.jobLog]) {
    const text = await readTail(file, KEPT_BYTES);
    if (text === '') continue;
    await makeDirectories(directory, 0o700);
    await writeWhole(path.join(directory, path.basename(file)), text);
    kept = true;
  }
  // What it was, for `inspect` and `ps --all`.
  const record = kept ? await readTail(vm.record, KEPT_BYTES) : '';
  if (record !== '') await writeWhole(path.join(directory, path.basename(vm.record)), record);
  return kept ? directory : undefined;
}
