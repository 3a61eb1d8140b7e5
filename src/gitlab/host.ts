import { isolatesTemplates, openHost, type OpenHostOptions } from '../providers/host.js';
import type { Host } from '../providers/provider.js';
import { homeDirectory } from './env.js';
import { DEFAULT_PROVIDER } from './settings.js';
import type { World } from './world.js';

/** Opens this host for a stage. Only prepare needs to name a provider: afterwards the VM's record does. */
export function openDriverHost(
  world: World,
  { provider = DEFAULT_PROVIDER, registries }: Partial<Pick<OpenHostOptions, 'provider' | 'registries'>> = {},
): Promise<Host> {
  const { agentDirectory } = world.installation;
  const qemuBinary = world.env['VM_RUNNER_QEMU'];
  const isolateTemplates = isolatesTemplates(world.env);
  return openHost({ home: homeDirectory(world), provider, agentDirectory, qemuBinary, registries, isolateTemplates });
}
