import { readFile, rm } from 'node:fs/promises';
import path from 'node:path';

import { fileError, systemCode, VmRunnerError } from '../../core/errors.js';
import type { StorePaths } from '../../store/paths.js';
import { writeWhole } from '../../store/whole-file.js';

/** How long it holds. A loaded host may have been too slow, so not for ever. */
const HOLDS_MS = 3_600_000;

/** QEMU may have been killed, or the host too slow, once. */
const ENOUGH_FAILURES = 2;

interface Refusal {
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly reason: string;
  /** In a row. */
  readonly failures: number;
}

/**
 * Why no template could be made lately, several times in a row; every VM would pay for another try.
 * @returns an error that says it, `undefined` when a try is due
 */
export async function recentRefusal(store: StorePaths, key: string): Promise<VmRunnerError | undefined> {
  const refusal = await read(refusalFile(store, key));
  if (refusal === undefined || refusal.failures < ENOUGH_FAILURES) return undefined;
  const { at, reason } = refusal;
  return new VmRunnerError('vm-start-failed', `no template could be made at ${new Date(at).toISOString()}: ${reason}`);
}

export async function rememberRefusal(store: StorePaths, key: string, error: VmRunnerError): Promise<void> {
  const file = refusalFile(store, key);
  const failures = ((await read(file))?.failures ?? 0) + 1;
  const refusal: Refusal = { at: Date.now(), reason: error.message, failures };
  await writeWhole(file, `${JSON.stringify(refusal, undefined, 2)}\n`);
}

/** One that still holds. */
async function read(file: string): Promise<Refusal | undefined> {
  let value: Partial<Refusal> | null;
  try {
    value = JSON.parse(await readFile(file, 'utf8')) as Partial<Refusal> | null;
  } catch (cause) {
    // Only a memory: what is not there or not JSON is found out again.
    if (systemCode(cause) === 'ENOENT' || cause instanceof SyntaxError) return undefined;
    throw fileError('read a file of the store', file, cause);
  }
  // An older vm-runner does not count.
  const { at = 0, reason = '', failures = 1 } = value ?? {};
  // One of the future has a clock that was set since.
  if (at > Date.now() || at + HOLDS_MS < Date.now()) return undefined;
  return { at, reason, failures };
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
