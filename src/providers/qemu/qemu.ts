import { abortReason } from '../../core/deadline.js';
import { VmRunnerError } from '../../core/errors.js';
import type { Finding } from '../../core/finding.js';
import type { ProcessTable } from '../../core/process-identity.js';
import type { ImageLibrary } from '../../images/library.js';
import { SYSTEM_PATH } from '../../process/system-path.js';
import type { VmRecord } from '../../store/record.js';
import type { Store } from '../../store/store.js';
import type { BootFiles, CreateContext, CreateRequest, Provider } from '../provider.js';
import { destroyVm, newRecord } from '../vm-process.js';
import { chooseAcceleration, type AccelerationChoice, type AccelerationOptions } from './acceleration.js';
import { probeAcceleration } from './acceleration-probe.js';
import { identifyQemu } from './identity.js';
import { qmpArgument } from './machine.js';
import { ensureEmptySlot } from './overlay.js';
import type { QemuHost } from './plan.js';
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
}

const CPUS_BY_DEFAULT = { kvm: 2, tcg: 1 } as const;

/** Virtual machines made by QEMU on this host, one process each that outlives us. */
export class QemuProvider implements Provider {
  readonly name = 'qemu';
  readonly bootsImages = true;
  readonly #host: QemuHost;
  readonly #binary: string;

  constructor(options: QemuProviderOptions) {
    const { store, processes, searchPath = SYSTEM_PATH, isolateTemplates = false } = options;
    this.#host = { store, processes, searchPath, isolateTemplates };
    this.#binary = options.binary ?? 'qemu-system-x86_64';
  }

  async defaultCpus(boot: BootFiles | undefined, context: Pick<CreateContext, 'log' | 'signal'>): Promise<number> {
    const { base } = required(boot);
    const qemu = await identifyQemu(this.#binary, this.#host.searchPath, this.#host.store.paths);
    const { acceleration } = await this.#acceleration(qemu.version, base.kernel, context);
    return CPUS_BY_DEFAULT[acceleration];
  }

  async create(request: CreateRequest, context: CreateContext): Promise<VmRecord> {
    const { base, image } = required(request.boot);
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
    const paths = await store.vms.create(record);
    if (context.signal.aborted) throw abortReason(context.signal);
    const plan = { qemu, acceleration, cpus, memoryMiB, network, base, image, name, paths };
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

  async destroy(name: string): Promise<void> {
    // Nothing that a VM has not written yet is worth waiting for.
    await destroyVm(this.#host, name, {
      commandLine: ({ qmp, exportQmp }) => [qmp, exportQmp].map(qmpArgument),
      graceMs: 0,
    });
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
    return chooseAcceleration({
      store: store.paths,
      processes,
      qemuVersion,
      probe: () => probeAcceleration({ binary, kernel, acceleration: 'kvm', searchPath, signal }),
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
