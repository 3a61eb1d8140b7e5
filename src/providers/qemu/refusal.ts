import { readFile, rm } from 'node:fs/promises';
import path from 'node:path';

import { fileError, systemCode, VmRunnerError } from '../../core/errors.js';
import type { StorePaths } from '../../store/paths.js';
import { writeWhole } from '../../store/whole-file.js';

/** How long it holds. A loaded host may have been too slow, so not for ever. */
const HOLDS_MS = 3_600_000;

interface Refusal {
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly reason: string;
}

/**
 * Why no template could be made lately; every VM would pay for another try.
 * @returns an error that says it, `undefined` when a try is due
 */
export async function recentRefusal(store: StorePaths, key: string): Promise<VmRunnerError | undefined> {
  const file = refusalFile(store, key);
  let value: Partial<Refusal> | null;
  try {
    value = JSON.parse(await readFile(file, 'utf8')) as Partial<Refusal> | null;
  } catch (cause) {
    // Only a memory: what is not there or not JSON is found out again.
    if (systemCode(cause) === 'ENOENT' || cause instanceof SyntaxError) return undefined;
    throw fileError('read a file of the store', file, cause);
  }
  const { at = 0, reason = '' } = value ?? {};
  // One of the future has a clock that was set since.
  if (at > Date.now() || at + HOLDS_MS < Date.now()) return undefined;
  return new VmRunnerError('vm-start-failed', `no template could be made at ${new Date(at).toISOString()}: ${reason}`);
}

export async function rememberRefusal(store: StorePaths, key: string, error: VmRunnerError): Promise<void> {
  const refusal: Refusal = { at: Date.now(), reason: error.message };
  await writeWhole(refusalFile(store, key), `${JSON.stringify(refusal, undefined, 2)}\n`);
}

export async function forgetRefusal(store: StorePaths, key: string): Promise<void> {
  const file = refusalFile(store, key);
  try {
    await rm(file, { force: true });
  } catch (cause) {
    throw fileError('remove a file of the store', file, cause);
  }
}

function refusalFile(store: StorePaths, key: string): string {
  return path.join(store.templates, `${key}.refused`);
}
