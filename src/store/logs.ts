import { mkdir, open, readdir, rm, stat } from 'node:fs/promises';
import path from 'node:path';

import { fileError, systemCode } from '../core/errors.js';
import type { StorePaths, VmPaths } from './paths.js';
import { writeWhole } from './whole-file.js';

const KEPT_BYTES = 1024 * 1024;
const KEPT_VMS = 50;

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
  const text = (await readTail(file, 16 * 1024)).replaceAll('\r', '');
  // Colours and cursor movements of a boot loader would garble the reader's terminal.
  const plain = text
    .replaceAll(/\x1b(\[[0-9;?]*[a-zA-Z]|[()][0-9A-B]|c)/g, '')
    .replaceAll(/[\x00-\x09\x0b-\x1f\x7f]/g, '');
  return plain.trimEnd().split('\n').slice(-lines).join('\n').trim();
}

/** Keeps the end of the logs of a VM that is about to go, and forgets those of the oldest VMs. Returns where they are. */
export async function archiveLogs(store: StorePaths, name: string, vm: VmPaths): Promise<string | undefined> {
  const directory = path.join(store.logs, name);
  let kept = false;
  for (const file of [vm.console, vm.vmmLog]) {
    const text = await readTail(file, KEPT_BYTES);
    if (text === '') continue;
    await mkdir(directory, { recursive: true, mode: 0o700 });
    await writeWhole(path.join(directory, path.basename(file)), text);
    kept = true;
  }
  await pruneLogs(store);
  return kept ? directory : undefined;
}

async function pruneLogs(store: StorePaths): Promise<void> {
  const names = await readdir(store.logs);
  if (names.length <= KEPT_VMS) return;
  const aged = await Promise.all(
    names.map(async (name) => ({ name, time: await modifiedAt(path.join(store.logs, name)) })),
  );
  aged.sort((a, b) => b.time - a.time);
  for (const { name } of aged.slice(KEPT_VMS)) await rm(path.join(store.logs, name), { recursive: true, force: true });
}

async function modifiedAt(file: string): Promise<number> {
  try {
    return (await stat(file)).mtimeMs;
  } catch (cause) {
    // Somebody else pruned it.
    if (systemCode(cause) === 'ENOENT') return 0;
    throw fileError('look at a log', file, cause);
  }
}
