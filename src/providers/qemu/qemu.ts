import { abortReason } from '../../core/deadline.js';
import { VmRunnerError } from '../../core/errors.js';
import type { Finding } from '../../core/finding.js';
import type { ProcessTable } from '../../core/process-identity.js';
import { bootImageOf, type BootImage } from '../../images/boot-image.js';
import type { ImageLibrary } from '../../images/library.js';
import { startDaemon } from '../../process/daemon.js';
import { SYSTEM_PATH } from '../../process/system-path.js';
import type { VmRecord } from '../../store/record.js';
import type { Store } from '../../store/store.js';
import type { CreateContext, CreateRequest, Provider } from '../provider.js';
import { destroyVm, newRecord, waitUntilUp } from '../vm-process.js';
import { chooseAcceleration, type AccelerationChoice, type AccelerationOptions } from './acceleration.js';
import { probeAcceleration } from './acceleration-probe.js';
import { checkFreeSpace } from './free-space.js';
import { qemuArguments, qmpArgument } from './machine.js';
import { makeOverlay } from './overlay.js';
import { QmpClient } from './qmp.js';
import { QEMU_INSTALL_HINT, qemuVersion } from './version.js';

export interface QemuProviderOptions {
  readonly store: Store;
  readonly processes: ProcessTable;
  readonly binary?: string;
  /** Where host programs are looked up. */
  readonly searchPath?: string;
}

/** From the start of QEMU to the first answer on its control socket; a loaded host takes seconds. */
const START_TIMEOUT_MS = 30_000;
const CPUS_BY_DEFAULT = { kvm: 2, tcg: 1 } as const;

/** Virtual machines made by QEMU on this host, one process each that outlives us. */
export class QemuProvider implements Provider {
  readonly name = 'qemu';
  readonly bootsImages = true;
  readonly #store: Store;
  readonly #processes: ProcessTable;
  readonly #binary: string;
  readonly #searchPath: string;

  constructor(options: QemuProviderOptions) {
    this.#store = options.store;
    this.#processes = options.processes;
    this.#binary = options.binary ?? 'qemu-system-x86_64';
    this.#searchPath = options.searchPath ?? SYSTEM_PATH;
  }

  async create(request: CreateRequest, context: CreateContext): Promise<VmRecord> {
    const { bootImage: image } = request;
    if (image === undefined) throw new VmRunnerError('internal', 'no image to boot was given to the provider qemu');
    await checkFreeSpace(this.#store.paths.home);
    const { acceleration, reason } = await this.#acceleration(image, context);
    if (reason !== undefined) {
      context.log.warn(`no hardware acceleration (${reason}): the VM is emulated in software and many times slower`);
    }
    const cpus = request.cpus ?? CPUS_BY_DEFAULT[acceleration];
    const { agents } = this.#store.vms.paths(request.name);
    const record = newRecord(request, { provider: this.name, endpoint: { kind: 'serial', paths: agents }, cpus });
    const paths = await this.#store.vms.create(record);
    await makeOverlay(paths.disk, image.rootDisk);
    if (context.signal.aborted) throw abortReason(context.signal);

    const { name, memoryMiB, network } = request;
    const argv = qemuArguments({ binary: this.#binary, name, acceleration, cpus, memoryMiB, network, image, paths });
    const vmm = await startDaemon(argv, {
      processes: this.#processes,
      logFile: paths.vmmLog,
      // Nothing of the job's environment, where secrets are, is for a process that a guest may break into.
      env: { PATH: this.#searchPath },
      installHint: QEMU_INSTALL_HINT,
    });
    const updated = await this.#store.vms.update(name, { vmm });
    await waitUntilUp(
      { program: 'QEMU', process: vmm, logFile: paths.vmmLog },
      {
        processes: this.#processes,
        isUp: (signal) => answers(paths.qmp, signal),
        timeoutMs: START_TIMEOUT_MS,
        signal: context.signal,
      },
    );
    return updated;
  }

  async find(name: string): Promise<VmRecord | undefined> {
    const record = await this.#store.vms.read(name);
    return record?.provider === this.name ? record : undefined;
  }

  async list(): Promise<readonly VmRecord[]> {
    const { records } = await this.#store.vms.list();
    return records.filter((record) => record.provider === this.name);
  }

  async destroy(name: string): Promise<void> {
    const host = { store: this.#store, processes: this.#processes };
    // Nothing that a VM has not written yet is worth waiting for.
    await destroyVm(host, name, { argument: ({ qmp }) => qmpArgument(qmp), graceMs: 0 });
  }

  async check(images: ImageLibrary, context: Pick<CreateContext, 'log' | 'signal'>): Promise<readonly Finding[]> {
    const subject = this.name;
    // Throws the sentence of a QEMU that is missing or too old.
    const version: Finding = { level: 'ok', subject, text: await qemuVersion(this.#binary, this.#searchPath) };
    const guest = await images.findBaseGuest();
    if (guest === undefined) {
      const text = 'hardware acceleration is tried with the first VM, or here once the default image is built';
      return [version, { level: 'ok', subject, text }];
    }
    const { reason } = await this.#acceleration(bootImageOf(guest), context, { doubtful: true });
    if (reason === undefined) return [version, { level: 'ok', subject, text: 'hardware acceleration works' }];
    return [
      version,
      { level: 'warning', subject, text: `no hardware acceleration (${reason}): VMs are many times slower` },
    ];
  }

  async #acceleration(
    image: BootImage,
    { log, signal }: Pick<CreateContext, 'log' | 'signal'>,
    how: Pick<AccelerationOptions, 'doubtful'> = {},
  ): Promise<AccelerationChoice> {
    const [binary, searchPath] = [this.#binary, this.#searchPath];
    const version = await qemuVersion(binary, searchPath);
    return chooseAcceleration({
      store: this.#store.paths,
      processes: this.#processes,
      qemuVersion: version,
      probe: () => probeAcceleration({ binary, kernel: image.kernel, acceleration: 'kvm', searchPath, signal }),
      log,
      signal,
      ...how,
    });
  }
}

async function answers(socket: string, signal: AbortSignal): Promise<boolean> {
  try {
    using client = await QmpClient.connect(socket, { signal, timeoutMs: START_TIMEOUT_MS });
    return client !== undefined;
  } catch (error) {
    // Hung up on: the next look at the process tells whether it is gone.
    if (error instanceof VmRunnerError && error.code === 'vm-died') return false;
    throw error;
  }
}
