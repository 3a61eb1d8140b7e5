import { open, readFile } from 'node:fs/promises';
import path from 'node:path';

import { fileError, systemCode } from '../../core/errors.js';
import type { Log } from '../../core/log.js';
import type { ProcessTable } from '../../core/process-identity.js';
import { acquireLock } from '../../store/lock.js';
import type { StorePaths } from '../../store/paths.js';
import { writeWhole } from '../../store/whole-file.js';
import { hostCpu } from './host-cpu.js';
import type { Acceleration } from './machine.js';

export interface AccelerationChoice {
  readonly acceleration: Acceleration;
  /** Why guests are emulated in software; `undefined` when they are not. */
  readonly reason: string | undefined;
}

export interface AccelerationOptions {
  readonly store: StorePaths;
  readonly processes: ProcessTable;
  readonly qemuVersion: string;
  /** Tries hardware acceleration; returns why it does not work, if so. */
  readonly probe: () => Promise<string | undefined>;
  readonly log: Log;
  readonly signal: AbortSignal;
  readonly device?: string;
  /** Tries anew unless hardware acceleration is known to work: someone may have repaired it, and wants to see. */
  readonly doubtful?: boolean;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
}

/** What is remembered: one answer, for exactly this boot of this host with this QEMU. */
interface Remembered {
  readonly version: 1;
  readonly key: string;
  /** `undefined` when hardware acceleration works. */
  readonly reason?: string | undefined;
  /** Milliseconds since 1970. */
  readonly triedAt?: number;
}

/**
 * How long "it does not work" holds: a loaded host may have been too slow for the test guest. A try that hangs costs 10 s,
 * which is nothing against an hour of jobs that are emulated for no reason.
 */
const REFUSAL_HOLDS_MS = 3_600_000;

/**
 * Hardware acceleration where guests really run with it, else software emulation. That it works is found out once per boot
 * of the host, that it does not once an hour.
 */
export async function chooseAcceleration(options: AccelerationOptions): Promise<AccelerationChoice> {
  const { store, processes, log, signal, now = Date.now } = options;
  const unusable = await deviceProblem(options.device ?? '/dev/kvm');
  if (unusable !== undefined) return { acceleration: 'tcg', reason: unusable };

  const key = `${options.qemuVersion} | ${processes.self.bootId} | ${(await hostCpu()).model}`;
  const started = now();
  const believe = (remembered: Remembered): boolean => {
    if (remembered.reason === undefined) return true;
    // One that was found after we asked is fresh enough for everyone. One of the future has a clock that was set since.
    const { triedAt = 0 } = remembered;
    return triedAt >= (options.doubtful === true ? started : started - REFUSAL_HOLDS_MS) && triedAt <= now();
  };
  const known = await recall(store, key, believe);
  if (known !== undefined) return known;

  const lock = await acquireLock(path.join(store.locks, 'acceleration'), {
    processes,
    signal,
    onWait: (holder) => log.info(`waiting for process ${holder.pid}, which is trying hardware acceleration`),
  });
  try {
    const meanwhile = await recall(store, key, believe);
    if (meanwhile !== undefined) return meanwhile;
    log.progress('trying hardware acceleration');
    const reason = await options.probe();
    const remembered: Remembered = { version: 1, key, reason, triedAt: now() };
    await writeWhole(store.acceleration, `${JSON.stringify(remembered, undefined, 2)}\n`);
    return choice(reason);
  } finally {
    await lock.release();
  }
}

/** What keeps us from even trying. Not remembered: it costs nothing to look, and people repair it. */
async function deviceProblem(device: string): Promise<string | undefined> {
  try {
    await (await open(device, 'r+')).close();
    return undefined;
  } catch (error) {
    const code = systemCode(error);
    if (code === 'ENOENT') return `this host has no ${device}`;
    if (code === 'EACCES' || code === 'EPERM') {
      return `no permission for ${device}: add this user to its group, usually with: usermod -aG kvm USER`;
    }
    return `${device} cannot be opened (${code ?? String(error)})`;
  }
}

async function recall(
  store: StorePaths,
  key: string,
  believe: (remembered: Remembered) => boolean,
): Promise<AccelerationChoice | undefined> {
  let text: string;
  try {
    text = await readFile(store.acceleration, 'utf8');
  } catch (cause) {
    if (systemCode(cause) === 'ENOENT') return undefined;
    throw fileError('read a file of the store', store.acceleration, cause);
  }
  try {
    const value = JSON.parse(text) as Partial<Remembered> | null;
    if (value?.version !== 1 || value.key !== key) return undefined;
    return believe(value as Remembered) ? choice(value.reason) : undefined;
  } catch {
    // Only a memory: what cannot be read is found out again.
    return undefined;
  }
}

function choice(reason: string | undefined): AccelerationChoice {
  return { acceleration: reason === undefined ? 'kvm' : 'tcg', reason };
}
