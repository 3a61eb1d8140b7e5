import type { ProcessIdentity, ProcessTable } from '../core/process-identity.js';
import { lineage } from '../process/ancestors.js';

const RUNNER = 'gitlab-runner';

/**
 * The Runner that this call belongs to: its end makes the VM an orphan. The shims `exec`, so that it is our parent; where an
 * operator put `sudo` or a script of their own in between, it is the ancestor of that name. Taking the wrapper instead would
 * cost the job its VM as soon as the next job looks for orphans.
 */
export function findRunner(processes: ProcessTable, parentPid: number): ProcessIdentity | undefined {
  const runner = lineage(parentPid).find((ancestor) => ancestor.name === RUNNER);
  return processes.identify(runner?.pid ?? parentPid);
}
