import { VmRunnerError } from '../core/errors.js';
import type { Host } from '../providers/provider.js';
import { readLastLines } from '../store/logs.js';
import type { VmRecord } from '../store/record.js';

const CONSOLE_LINES = 60;
const PANIC = /Kernel panic - not syncing: ([^\n]{1,200})/;
/** What a kernel says that has nothing left to kill. */
const NO_MEMORY = /out of memory|deadlocked on memory/i;

/** Why a VM ended whose process is gone, and whose fault that is. */
export async function vmEnding(host: Pick<Host, 'store' | 'providerNamed'>, record: VmRecord): Promise<VmRunnerError> {
  const subject = record.name;
  const { ended, outOfMemory } = await host.providerNamed(record.provider).report(record);
  if (outOfMemory) {
    const hint = 'Lower the number of VMs or their memory, or give the host more.';
    return new VmRunnerError('vm-died', "VM was killed by the host's kernel: its memory is used up", { subject, hint });
  }
  // Before the job runs a guest that ends is none that the job has ended.
  if (ended === undefined || record.state !== 'ready') {
    return new VmRunnerError('vm-died', 'VM ended by itself', { subject });
  }
  const panic = PANIC.exec(await readLastLines(host.store.vms.paths(record.name).console, CONSOLE_LINES))?.[1];
  if (ended === 'powered-off') return guestEnded('guest was powered off while the job ran', subject);
  if (panic === undefined) return guestEnded('guest was restarted while the job ran', subject);
  if (NO_MEMORY.test(panic)) {
    const hint = 'Ask for more with memory.';
    return new VmRunnerError('guest-out-of-memory', `guest has no memory left: ${panic}`, { subject, hint });
  }
  return guestEnded(`kernel of the guest panicked: ${panic}`, subject);
}

function guestEnded(reason: string, subject: string): VmRunnerError {
  return new VmRunnerError('guest-ended', reason, { subject });
}
