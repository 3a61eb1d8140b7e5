import { endProcess } from '../../process/end.js';
import { waitUntilUp } from '../vm-process.js';
import { BASE_EXPORT, imageDisk } from './disks.js';
import { START_TIMEOUT_MS, startQemu } from './launch.js';
import { qmpArgument, SANDBOX_ARGUMENTS } from './machine.js';
import type { QemuHost, VmPlan } from './plan.js';
import { QmpClient } from './qmp.js';

/**
 * Shows the base root to another QEMU while that is saved, as a network block device on a unix socket. A guest whose own QEMU
 * reads VMDK cannot be saved, and no other format of QEMU's can put a disk together of files. Clones read the VMDK themselves.
 */
export async function withExportedBase<T>(
  host: QemuHost,
  plan: VmPlan,
  signal: AbortSignal,
  work: () => Promise<T>,
): Promise<T> {
  const { qemu, acceleration, base, paths } = plan;
  const name = BASE_EXPORT;
  const argv = [
    qemu.binary,
    ...['-machine', 'none', '-accel', acceleration, '-nodefaults', '-no-user-config', '-display', 'none'],
    ...SANDBOX_ARGUMENTS,
    ...['-blockdev', JSON.stringify({ 'node-name': name, ...imageDisk(base.root.disk) })],
    ...['-qmp', qmpArgument(paths.exportQmp)],
  ];
  const server = await startQemu(host, plan, argv);
  try {
    const { processes } = host;
    const isUp = async (tried: AbortSignal): Promise<boolean> => {
      using client = await QmpClient.connect(paths.exportQmp, { signal: tried, timeoutMs: START_TIMEOUT_MS });
      if (client === undefined) return false;
      await client.execute('nbd-server-start', { addr: { type: 'unix', data: { path: paths.export } } });
      await client.execute('block-export-add', { type: 'nbd', id: name, 'node-name': name, name });
      return true;
    };
    const started = { program: 'QEMU', process: server, logFile: paths.vmmLog };
    await waitUntilUp(started, { processes, isUp, timeoutMs: START_TIMEOUT_MS, signal });
    return await work();
  } finally {
    await endProcess(host.processes, server, 0);
  }
}
