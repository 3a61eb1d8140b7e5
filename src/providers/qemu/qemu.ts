import type { Finding } from '../../core/finding.js';
import type { CollectOptions, Garbage } from '../../core/garbage.js';
import type { ProcessTable } from '../../core/process-identity.js';
import type { ImageLibrary } from '../../images/library.js';
import { SYSTEM_PATH } from '../../process/system-path.js';
import type { VmRecord } from '../../store/record.js';
import type { Store } from '../../store/store.js';
import type { BootFiles, CreateContext, CreateRequest, Provider, VmReport, WarmPool } from '../provider.js';
import { destroyVm } from '../vm-process.js';
import { ranOutOfMemory, removeCgroups } from './cgroup.js';
import { sweepCgroups } from './cgroup-sweep.js';
import { cgroupEnding } from './confinement.js';
import { readEvents } from './events.js';
import { hostAcceleration } from './host-acceleration.js';
import { identifyQemu } from './identity.js';
import { qmpArgument } from './machine.js';
import type { QemuHost } from './plan.js';
import { planVm, required } from './plan-vm.js';
import { QemuPool } from './pool.js';
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
  readonly pool: WarmPool;
  readonly #host: QemuHost;

  constructor(options: QemuProviderOptions) {
    const { store, processes, binary = 'qemu-system-x86_64', searchPath = SYSTEM_PATH } = options;
    const { isolateTemplates = false, ownUsers = true } = options;
    this.#host = { store, processes, binary, searchPath, isolateTemplates, ownUsers };
    const destroy = (name: string): Promise<void> => this.destroy(name);
    this.pool = new QemuPool({ host: this.#host, provider: this.name, destroy });
  }

  async defaultCpus(boot: BootFiles | undefined, context: Pick<CreateContext, 'log' | 'signal'>): Promise<number> {
    const { base } = required(boot);
    const { binary, searchPath, store } = this.#host;
    const qemu = await identifyQemu(binary, searchPath, store.paths);
    const { acceleration } = await hostAcceleration(this.#host, qemu.version, base.kernel, context);
    return CPUS_BY_DEFAULT[acceleration];
  }

  async create(request: CreateRequest, context: CreateContext): Promise<VmRecord> {
    const plan = await planVm(this.#host, this.name, request, context);
    return startVm(this.#host, plan, request.template ?? 'auto', context);
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
    const line = await qemuVersion(this.#host.binary, this.#host.searchPath);
    const version: Finding = { level: 'ok', subject, text: line };
    const guest = await images.findBaseGuest();
    if (guest === undefined) {
      const text = 'hardware acceleration is tried with the first VM, or here once the default image is built';
      return [version, { level: 'ok', subject, text }];
    }
    const { reason } = await hostAcceleration(this.#host, line, guest.kernel, context, { doubtful: true });
    if (reason === undefined) return [version, { level: 'ok', subject, text: 'hardware acceleration works' }];
    return [
      version,
      { level: 'warning', subject, text: `no hardware acceleration (${reason}): VMs are many times slower` },
    ];
  }
}
