import { VmRunnerError } from '../../core/errors.js';
import type { VmRecord } from '../../store/record.js';
import { launch, START_TIMEOUT_MS } from './launch.js';
import { qemuArguments } from './machine.js';
import { makeOverlay } from './overlay.js';
import { plannedMachine, type QemuHost, type StartContext, type VmPlan } from './plan.js';
import { QmpClient } from './qmp.js';

/** Starts a VM from its kernel. Returns when QEMU answers; the guest is booting then. */
export async function bootVm(
  host: QemuHost,
  plan: VmPlan,
  { signal }: Pick<StartContext, 'signal'>,
): Promise<VmRecord> {
  const { base, paths } = plan;
  await makeOverlay(paths.disk, { file: base.scratch, format: 'raw' });
  const argv = qemuArguments({
    ...plannedMachine(host, plan),
    memory: { kind: 'own' },
    start: { kernel: base.kernel, initramfs: base.initramfs },
  });
  const isUp = (tried: AbortSignal): Promise<boolean> => answers(paths.qmp, tried);
  return launch(host, plan, argv, { record: { template: undefined }, isUp, signal });
}

/** Whether QEMU answers on its control socket. */
export async function answers(socket: string, signal: AbortSignal): Promise<boolean> {
  try {
    using client = await QmpClient.connect(socket, { signal, timeoutMs: START_TIMEOUT_MS });
    return client !== undefined;
  } catch (error) {
    // Hung up on: the next look at the process tells whether it is gone.
    if (error instanceof VmRunnerError && error.code === 'vm-died') return false;
    throw error;
  }
}
