import { abortReason } from '../../core/deadline.js';
import { VmRunnerError } from '../../core/errors.js';
import type { Log } from '../../core/log.js';
import type { ProgramUser } from '../../process/confine.js';
import type { VmPaths } from '../../store/paths.js';
import type { VmRecord } from '../../store/record.js';
import type { BootFiles, CreateContext, CreateRequest } from '../provider.js';
import { newRecord } from '../vm-process.js';
import type { AccelerationChoice } from './acceleration.js';
import { removeCgroups } from './cgroup.js';
import { hostConfinement, vmConfinement, warnOfRoot, type HostConfinement } from './confinement.js';
import { hostAcceleration } from './host-acceleration.js';
import { identifyQemu, type Qemu } from './identity.js';
import { ensureEmptySlot } from './overlay.js';
import { withFreeUser } from './own-user.js';
import type { QemuHost, VmPlan } from './plan.js';
import { filesOfDisk, letReach } from './reach.js';

/** Of a VM, what this host decides and not the request. */
export interface Means extends AccelerationChoice {
  readonly qemu: Qemu;
  readonly confinement: HostConfinement;
}

export async function chooseMeans(
  host: QemuHost,
  { base }: BootFiles,
  context: Pick<CreateContext, 'log' | 'signal'>,
): Promise<Means> {
  const qemu = await identifyQemu(host.binary, host.searchPath, host.store.paths);
  const choice = await hostAcceleration(host, qemu.version, base.kernel, context);
  return { ...choice, qemu, confinement: await hostConfinement(host, choice.acceleration) };
}

/** Of what the reader of the job's log should change on this host. */
export function warnOfMeans({ reason, confinement }: Means, log: Log): void {
  if (reason !== undefined) {
    log.warn(`no hardware acceleration (${reason}): the VM is emulated in software and many times slower`);
  }
  warnOfRoot(confinement, log);
}

/** Decides everything of a VM but how it starts, and writes its first record. */
export async function planVm(
  host: QemuHost,
  provider: string,
  request: CreateRequest,
  context: CreateContext,
): Promise<VmPlan> {
  const boot = required(request.boot);
  const { base, image } = boot;
  const { store } = host;
  const means = await chooseMeans(host, boot, context);
  const { qemu, acceleration, confinement: how } = means;
  warnOfMeans(means, context.log);
  await ensureEmptySlot(store.paths.emptySlot);
  const { name, cpus, memoryMiB, network } = request;
  const { agents } = store.vms.paths(name);
  const record = newRecord(request, { provider, endpoint: { kind: 'serial', paths: agents } });
  const limits = vmConfinement(host, how, request, acceleration);
  const { user, paths } = await writeRecord(host, { ...record, cgroups: limits.cgroups }, how.groups, context);
  if (user !== undefined) letReach(store.paths, [...sharedFiles(boot), store.paths.emptySlot]);
  if (context.signal.aborted) throw abortReason(context.signal);
  const confinement = { ...limits, user };
  return { qemu, acceleration, cpus, memoryMiB, network, base, image, name, paths, confinement };
}

export function required(boot: BootFiles | undefined): BootFiles {
  if (boot !== undefined) return boot;
  throw new VmRunnerError('internal', 'nothing to boot was given to the provider qemu');
}

/** Writes the first record of a VM, with the user of its QEMU when that has one. */
async function writeRecord(
  host: QemuHost,
  record: VmRecord,
  groups: readonly number[] | undefined,
  { signal }: CreateContext,
): Promise<{ readonly user: ProgramUser | undefined; readonly paths: VmPaths }> {
  const { vms } = host.store;
  try {
    if (groups === undefined) return { user: undefined, paths: await vms.create(record) };
    return await withFreeUser(host, groups, signal, async (user) => ({
      user,
      paths: await vms.create({ ...record, vmmUid: user.uid }),
    }));
  } catch (error) {
    // Whoever has that name has another incarnation, and so other groups.
    await removeCgroups(record.cgroups ?? []);
    throw error;
  }
}

/** What of the store a VM reads that others read as well. */
function sharedFiles({ base, image }: BootFiles): readonly string[] {
  const disks = [base.root.disk, ...(image === undefined ? [] : [image.disk])];
  return [base.kernel, base.initramfs, base.scratch, ...disks.flatMap(filesOfDisk)];
}
