import { abortReason } from '../../core/deadline.js';
import { VmRunnerError } from '../../core/errors.js';
import type { Finding } from '../../core/finding.js';
import type { CollectOptions, Garbage } from '../../core/garbage.js';
import type { ProcessTable } from '../../core/process-identity.js';
import type { ImageLibrary } from '../../images/library.js';
import type { ProgramUser } from '../../process/confine.js';
import { SYSTEM_PATH } from '../../process/system-path.js';
import type { VmPaths } from '../../store/paths.js';
import type { VmRecord } from '../../store/record.js';
import type { Store } from '../../store/store.js';
import type { BootFiles, CreateContext, CreateRequest, Provider, VmReport } from '../provider.js';
import { destroyVm, newRecord } from '../vm-process.js';
import { chooseAcceleration, type AccelerationChoice, type AccelerationOptions } from './acceleration.js';
import { probeAcceleration } from './acceleration-probe.js';
import { ranOutOfMemory, removeCgroups, sweepCgroups } from './cgroup.js';
import { cgroupEnding, hostConfinement, probeConfinement, vmConfinement, warnOfRoot } from './confinement.js';
import { readEvents } from './events.js';
import { identifyQemu } from './identity.js';
import { qmpArgument } from './machine.js';
import { ensureEmptySlot } from './overlay.js';
import { withFreeUser } from './own-user.js';
import type { QemuHost } from './plan.js';
import { filesOfDisk, letReach } from './reach.js';
import { startVm } from './start.js';
import { qemuVersion } from './version.js';

export interface QemuProviderOptions {
  readonly store: Store;
  readonly processes: ProcessTable;
  readonly binary?: string;
  /** Where host programs are looked up. */
  readonly searchPath?: string;
  /**
   * Whether each clone gets a copy of its template's memory instead of sharing it: for guests of which one must not be able to
   * harm the others even when it breaks out into its QEMU (docs/SECURITY.md). Costs time and space. Default: false.
   */
  readonly isolateTemplates?: boolean;
  /** Whether QEMU runs as a user of its own, another one for each VM, where we are root. Default: true. */
  readonly ownUsers?: boolean;
}

const CPUS_BY_DEFAULT = { kvm: 2, tcg: 1 } as const;

/** Virtual machines made by QEMU on this host, one process each that outlives us. */
export class QemuProvider implements Provider {
  readonly name = 'qemu';
  readonly bootsImages = true;
  readonly #host: QemuHost;
  readonly #binary: string;

  constructor(options: QemuProviderOptions) {
    const { store, processes, searchPath = SYSTEM_PATH, isolateTemplates = false, ownUsers = true } = options;
    this.#host = { store, processes, searchPath, isolateTemplates, ownUsers };
    this.#binary = options.binary ?? 'qemu-system-x86_64';
  }

  async defaultCpus(boot: BootFiles | undefined, context: Pick<CreateContext, 'log' | 'signal'>): Promise<number> {
    const { base } = required(boot);
    const qemu = await identifyQemu(this.#binary, this.#host.searchPath, this.#host.store.paths);
    const { acceleration } = await this.#acceleration(qemu.version, base.kernel, context);
    return CPUS_BY_DEFAULT[acceleration];
  }

  async create(request: CreateRequest, context: CreateContext): Promise<VmRecord> {
    const boot = required(request.boot);
    const { base, image } = boot;
    const { store } = this.#host;
    const qemu = await identifyQemu(this.#binary, this.#host.searchPath, store.paths);
    const { acceleration, reason } = await this.#acceleration(qemu.version, base.kernel, context);
    if (reason !== undefined) {
      context.log.warn(`no hardware acceleration (${reason}): the VM is emulated in software and many times slower`);
    }
    await ensureEmptySlot(store.paths.emptySlot);
    const { name, cpus, memoryMiB, network } = request;
    const { agents } = store.vms.paths(name);
    const record = newRecord(request, { provider: this.name, endpoint: { kind: 'serial', paths: agents } });
    const how = await hostConfinement(this.#host, this.#binary, acceleration);
    warnOfRoot(how, context.log);
    const limits = vmConfinement(this.#host, how, request, acceleration);
    const { user, paths } = await this.#reserve({ ...record, cgroups: limits.cgroups }, how.groups, context);
    if (user !== undefined) letReach(store.paths, [...sharedFiles(boot), store.paths.emptySlot]);
    if (context.signal.aborted) throw abortReason(context.signal);
    const confinement = { ...limits, user };
    const plan = { qemu, acceleration, cpus, memoryMiB, network, base, image, name, paths, confinement };
    return startVm(this.#host, plan, request.template ?? 'auto', context);
  }

  /** Writes the first record of a VM, with the user of its QEMU when that has one. */
  async #reserve(
    record: VmRecord,
    groups: readonly number[] | undefined,
    { signal }: CreateContext,
  ): Promise<{ readonly user: ProgramUser | undefined; readonly paths: VmPaths }> {
    const { vms } = this.#host.store;
    try {
      if (groups === undefined) return { user: undefined, paths: await vms.create(record) };
      return await withFreeUser(this.#host, groups, signal, async (user) => ({
        user,
        paths: await vms.create({ ...record, vmmUid: user.uid }),
      }));
    } catch (error) {
      // Whoever has that name has another incarnation, and so other groups.
      await removeCgroups(record.cgroups ?? []);
      throw error;
    }
  }

  async find(name: string): Promise<VmRecord | undefined> {
    const record = await this.#host.store.vms.read(name);
    return record?.provider === this.name ? record : undefined;
  }

  async list(): Promise<readonly VmRecord[]> {
    const { records } = await this.#host.store.vms.list();
    return records.filter((record) => record.provider === this.name);
  }

  async report({ name, cgroups = [] }: VmRecord): Promise<VmReport> {
    const events = await readEvents(this.#host.store.vms.paths(name).events);
    return { ...events, outOfMemory: ranOutOfMemory(cgroups) };
  }

  async destroy(name: string): Promise<void> {
    // Nothing that a VM has not written yet is worth waiting for.
    await destroyVm(this.#host, name, {
      commandLine: ({ qmp, exportQmp }) => [qmp, exportQmp].map(qmpArgument),
      graceMs: 0,
      ended: async (record) => removeCgroups(record?.cgroups ?? []),
    });
  }

  async sweep(how: CollectOptions): Promise<readonly Garbage[]> {
    const { vms, paths } = this.#host.store;
    const { records, damaged } = await vms.list();
    // One that cannot be read may name any of them; a newer vm-runner's goes on.
    if (damaged.length > 0) return [];
    const named = new Set(records.flatMap(({ cgroups = [] }) => cgroups));
    return sweepCgroups(cgroupEnding(paths.home), named, how);
  }

  async check(images: ImageLibrary, context: Pick<CreateContext, 'log' | 'signal'>): Promise<readonly Finding[]> {
    const subject = this.name;
    // Throws the sentence of a QEMU that is missing or too old.
    const line = await qemuVersion(this.#binary, this.#host.searchPath);
    const version: Finding = { level: 'ok', subject, text: line };
    const guest = await images.findBaseGuest();
    if (guest === undefined) {
      const text = 'hardware acceleration is tried with the first VM, or here once the default image is built';
      return [version, { level: 'ok', subject, text }];
    }
    const { reason } = await this.#acceleration(line, guest.kernel, context, { doubtful: true });
    if (reason === undefined) return [version, { level: 'ok', subject, text: 'hardware acceleration works' }];
    return [
      version,
      { level: 'warning', subject, text: `no hardware acceleration (${reason}): VMs are many times slower` },
    ];
  }

  async #acceleration(
    qemuVersion: string,
    kernel: string,
    { log, signal }: Pick<CreateContext, 'log' | 'signal'>,
    how: Pick<AccelerationOptions, 'doubtful'> = {},
  ): Promise<AccelerationChoice> {
    const { store, processes, searchPath } = this.#host;
    const binary = this.#binary;
    const probe = async (): Promise<string | undefined> => {
      const host = await hostConfinement(this.#host, binary, 'kvm');
      if (host.groups !== undefined) letReach(store.paths, [kernel]);
      const confinement = probeConfinement(this.#host, host);
      return probeAcceleration({ binary, kernel, acceleration: 'kvm', searchPath, signal, confinement });
    };
    return chooseAcceleration({
      store: store.paths,
      processes,
      qemuVersion,
      probe,
      log,
      signal,
      ...how,
    });
  }
}

function required(boot: BootFiles | undefined): BootFiles {
  if (boot !== undefined) return boot;
  throw new VmRunnerError('internal', 'nothing to boot was given to the provider qemu');
}

/** What of the store a VM reads that others read as well. */
function sharedFiles({ base, image }: BootFiles): readonly string[] {
  const disks = [base.root.disk, ...(image === undefined ? [] : [image.disk])];
  return [base.kernel, base.initramfs, base.scratch, ...disks.flatMap(filesOfDisk)];
}
