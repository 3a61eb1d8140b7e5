import { readdirSync, readFileSync } from 'node:fs';

import { delay } from '../core/deadline.js';
import { systemCode, VmRunnerError } from '../core/errors.js';
import type { ProcessIdentity, ProcessTable } from '../core/process-identity.js';

/** Sends a signal to exactly this process; false when it is gone. */
function signalProcess(processes: ProcessTable, identity: ProcessIdentity, signal: NodeJS.Signals): boolean {
  if (!processes.isAlive(identity)) return false;
  try {
    process.kill(identity.pid, signal);
    return true;
  } catch (cause) {
    if (systemCode(cause) === 'ESRCH') return false;
    throw new VmRunnerError('host-file-failed', `may not signal process ${identity.pid}`, {
      hint: 'It belongs to another user: run vm-runner as that user.',
      cause,
    });
  }
}

/**
 * Ends a process: SIGTERM, then SIGKILL after `graceMs`. Returns when it is gone.
 * @throws host-tool-failed when it outlives SIGKILL by five seconds (it hangs in the kernel).
 */
export async function endProcess(processes: ProcessTable, identity: ProcessIdentity, graceMs: number): Promise<void> {
  if (graceMs > 0) {
    if (!signalProcess(processes, identity, 'SIGTERM')) return;
    if (await isGone(processes, identity, graceMs)) return;
  }
  if (!signalProcess(processes, identity, 'SIGKILL')) return;
  if (await isGone(processes, identity, 5000)) return;
  throw new VmRunnerError('host-tool-failed', `process ${identity.pid} outlives SIGKILL`, {
    hint: 'It hangs in the kernel: look at its state with ps.',
  });
}

async function isGone(processes: ProcessTable, identity: ProcessIdentity, withinMs: number): Promise<boolean> {
  const end = performance.now() + withinMs;
  for (;;) {
    if (!processes.isAlive(identity)) return true;
    if (performance.now() > end) return false;
    await delay(5);
  }
}

/**
 * The processes that were started with this very argument. Finds what a record does not name yet because its writer was
 * killed between starting the process and writing its pid down.
 */
export function findByArgument(processes: ProcessTable, argument: string): ProcessIdentity[] {
  const found: ProcessIdentity[] = [];
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    let commandLine: string;
    try {
      commandLine = readFileSync(`/proc/${entry}/cmdline`, 'utf8');
    } catch (error) {
      // Ended between the listing and the look; or another user's on a host that hides those.
      if (['ENOENT', 'ESRCH', 'EACCES', 'EPERM'].includes(systemCode(error) ?? '')) continue;
      throw error;
    }
    if (!commandLine.split('\0').includes(argument)) continue;
    const identity = processes.identify(Number(entry));
    if (identity !== undefined) found.push(identity);
  }
  return found;
}
