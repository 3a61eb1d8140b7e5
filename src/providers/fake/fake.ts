import { abortReason } from '../../core/deadline.js';
import { VmRunnerError } from '../../core/errors.js';
import type { Finding } from '../../core/finding.js';
import type { ProcessTable } from '../../core/process-identity.js';
import { startDaemon } from '../../process/daemon.js';
import { SYSTEM_PATH } from '../../process/system-path.js';
import type { VmPaths } from '../../store/paths.js';
import type { VmRecord } from '../../store/record.js';
import type { Store } from '../../store/store.js';
import type { CreateContext, CreateRequest, Provider, VmReport, WarmPool } from '../provider.js';
import { destroyVm, newRecord, takeOver, waitsFor, writeLaunchedAs } from '../vm-process.js';

export interface FakeProviderOptions {
  readonly store: Store;
  readonly processes: ProcessTable;
  /** The agent's program for this host. */
  readonly agent: string;
  /** Where the agent and what it starts look up programs. */
  readonly searchPath?: string;
}

/** For the agent to end what it runs. */
const END_GRACE_MS = 3000;

/**
 * No virtual machine: the agent as a process of this host, with a record and an endpoint like any other. For tests of the
 * stages and for dry runs. **It protects nothing: jobs run on the host, as the user of vm-runner.**
 */
export class FakeProvider implements Provider {
  readonly name = 'fake';
  readonly bootsImages = false;
  readonly pool: WarmPool = {
    fingerprint: () => Promise.resolve(''),
    launch: (request, context) => this.#launch(request, context),
    claim: (request) => this.#claim(request),
  };
  readonly #options: FakeProviderOptions;

  constructor(options: FakeProviderOptions) {
    this.#options = options;
  }

  defaultCpus(): Promise<number> {
    return Promise.resolve(1);
  }

  async create(request: CreateRequest, context: CreateContext): Promise<VmRecord> {
    const { store, processes, agent, searchPath = SYSTEM_PATH } = this.#options;
    const socket = agentSocket(store.vms.paths(request.name));
    const paths = await store.vms.create(newRecord(request, this.#made(request.name)));
    if (context.signal.aborted) throw abortReason(context.signal);
    const vmm = await startDaemon([agent, 'serve', '--listen', listenArgument(socket)], {
      processes,
      logFile: paths.vmmLog,
      cwd: '/',
      env: { PATH: searchPath },
      installHint: 'The guest agent is part of the vm-runner package; in a source tree build it first (guest-agent/).',
    });
    return store.vms.update(request.name, { vmm });
  }

  async #launch(request: CreateRequest, context: CreateContext): Promise<VmRecord> {
    await this.create(request, context);
    const { vms } = this.#options.store;
    await writeLaunchedAs(vms.paths(request.name), request.name);
    return vms.update(request.name, { state: 'pooled' });
  }

  async #claim(request: CreateRequest): Promise<VmRecord | undefined> {
    const { store, processes } = this.#options;
    const fits = (record: VmRecord): boolean => waitsFor(record, { provider: this.name, request, processes });
    const made = this.#made(request.name);
    const { records } = await store.vms.list();
    for (const { name } of records.filter(fits)) {
      const record = await takeOver(store, name, { request, made, fits });
      if (record !== undefined) return record;
    }
    return undefined;
  }

  #made(name: string): Pick<VmRecord, 'provider' | 'endpoint'> {
    const path = agentSocket(this.#options.store.vms.paths(name));
    return { provider: this.name, endpoint: { kind: 'unix', path } };
  }

  async find(name: string): Promise<VmRecord | undefined> {
    const record = await this.#options.store.vms.read(name);
    return record?.provider === this.name ? record : undefined;
  }

  async list(): Promise<readonly VmRecord[]> {
    const { records } = await this.#options.store.vms.list();
    return records.filter((record) => record.provider === this.name);
  }

  report(): Promise<VmReport> {
    return Promise.resolve({ ended: undefined, diskError: undefined, outOfMemory: false });
  }

  async destroy(name: string): Promise<void> {
    const commandLine = (paths: VmPaths): string[] => [listenArgument(agentSocket(paths))];
    await destroyVm(this.#options, name, { commandLine, graceMs: END_GRACE_MS });
  }

  check(): Promise<readonly Finding[]> {
    return Promise.resolve([
      { level: 'warning', subject: this.name, text: 'protects nothing: jobs run on this host. For dry runs only.' },
    ]);
  }
}

function agentSocket({ agents: [socket] }: VmPaths): string {
  if (socket === undefined) throw new VmRunnerError('internal', 'a VM without sockets for its agent');
  return socket;
}

function listenArgument(socket: string): string {
  return `unix:${socket}`;
}
