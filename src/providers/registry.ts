import path from 'node:path';

import { VmRunnerError } from '../core/errors.js';
import type { ProcessTable } from '../core/process-identity.js';
import { agentPath } from '../images/agent-binary.js';
import { HostImageLibrary } from '../images/host-library.js';
import type { ImageLibrary } from '../images/library.js';
import type { Recipe } from '../images/debian/recipe.js';
import type { RegistryOptions } from '../images/registry/options.js';
import type { Store } from '../store/store.js';
import { FakeProvider } from './fake/fake.js';
import type { Provider, Templates } from './provider.js';
import { QemuProvider } from './qemu/qemu.js';
import { TemplateStore } from './qemu/templates.js';

export interface ProvidersOptions {
  readonly store: Store;
  readonly processes: ProcessTable;
  /** Holds `<architecture>/vm-agent`. */
  readonly agentDirectory: string;
  /** The packed scratch disk. Default: the one that is shipped beside the agents. */
  readonly scratch?: string | undefined;
  /** Name or path of QEMU. Default: `qemu-system-x86_64`. */
  readonly qemuBinary?: string;
  /** How container registries are reached. Default: without credentials, mirrors and proxy. */
  readonly registries?: RegistryOptions | undefined;
  /** What the default image is made of. Default: `DEFAULT_RECIPE`. */
  readonly recipe?: Recipe;
  /** Whether each clone gets a copy of its template's memory. Default: false. */
  readonly isolateTemplates?: boolean;
}

export interface Providers {
  readonly images: ImageLibrary;
  readonly templates: Templates;
  readonly providers: readonly Provider[];
  /** @throws invalid-input when there is none of that name. */
  readonly providerNamed: (name: string) => Provider;
}

/** In Debian's words, as directories of agents are named. */
const ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64' };

/** The images of this host, and every provider that vm-runner has. Makes nothing yet. */
export function createProviders(options: ProvidersOptions): Providers {
  const { store, processes, agentDirectory, qemuBinary, recipe, isolateTemplates = false } = options;
  const architecture = ARCHITECTURES[process.arch] ?? process.arch;
  const providers: readonly Provider[] = [
    new QemuProvider({
      store,
      processes,
      isolateTemplates,
      ...(qemuBinary === undefined ? {} : { binary: qemuBinary }),
    }),
    new FakeProvider({ store, processes, agent: agentPath(agentDirectory, architecture) }),
  ];
  return {
    providers,
    templates: new TemplateStore({ store, processes }),
    images: new HostImageLibrary({
      store: store.paths,
      events: store.events,
      processes,
      agentDirectory,
      registries: options.registries,
      scratch: options.scratch ?? path.join(agentDirectory, '../scratch/scratch.ext4.gz'),
      ...(recipe === undefined ? {} : { recipe }),
    }),
    providerNamed: (name) => {
      const provider = providers.find((candidate) => candidate.name === name);
      if (provider !== undefined) return provider;
      throw new VmRunnerError('invalid-input', 'no such provider', {
        subject: name,
        hint: `Known are: ${providers.map((candidate) => candidate.name).join(', ')}.`,
      });
    },
  };
}
