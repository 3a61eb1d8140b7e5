import { DEFAULT_HOST_CONFIG, type HostConfig } from '../config/host-config.js';
import type { Recipe } from '../images/debian/recipe.js';
import type { RegistryOptions } from '../images/registry/options.js';
import { LinuxHostMemory } from '../process/host-memory.js';
import { LinuxProcessTable } from '../process/table.js';
import { Capacity } from '../store/capacity.js';
import { openStore } from '../store/store.js';
import type { Host } from './provider.js';
import { createProviders } from './registry.js';

export interface OpenHostOptions {
  /** The store's directory. */
  readonly home: string;
  /** What new VMs are made with: a name of the registry. */
  readonly provider: string;
  /** Holds `<arch>/vm-agent`. */
  readonly agentDirectory: string;
  /** The packed scratch disk. Default: the one that is shipped beside the agents. */
  readonly scratch?: string | undefined;
  /** Name or path of QEMU. Default: that of `config`. */
  readonly qemuBinary?: string | undefined;
  /** How container registries are reached. Default: without credentials, mirrors and proxy. */
  readonly registries?: RegistryOptions | undefined;
  /** What the default image is made of. Default: `DEFAULT_RECIPE`. */
  readonly recipe?: Recipe | undefined;
  /** What the operator decides. Default: `DEFAULT_HOST_CONFIG`. */
  readonly config?: HostConfig | undefined;
  /** Whether each clone gets a copy of its template's memory instead of sharing it (docs/SECURITY.md). Default: what `config` says. */
  readonly isolateTemplates?: boolean | undefined;
}

/** Opens this host for a front end: its store, its processes, its images and the provider that was asked for. */
export async function openHost(options: OpenHostOptions): Promise<Host> {
  const { config = DEFAULT_HOST_CONFIG } = options;
  const { qemuBinary = config.qemu.binary, isolateTemplates = config.qemu.isolateTemplates } = options;
  const processes = new LinuxProcessTable();
  const store = await openStore(options.home, processes);
  const { images, templates, providers, providerNamed } = createProviders({
    store,
    processes,
    agentDirectory: options.agentDirectory,
    scratch: options.scratch,
    registries: options.registries,
    ...(qemuBinary === undefined ? {} : { qemuBinary }),
    ...(options.recipe === undefined ? {} : { recipe: options.recipe }),
    isolateTemplates,
  });
  const capacity = new Capacity({ store, processes, memory: new LinuxHostMemory(), limits: config.capacity });
  return {
    ...{ config, store, processes, capacity, images, templates, providers, providerNamed },
    provider: providerNamed(options.provider),
  };
}
