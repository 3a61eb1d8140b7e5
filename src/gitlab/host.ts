import path from 'node:path';

import type { HostConfig } from '../config/host-config.js';
import { loadHostConfig } from '../config/load.js';
import { HOST_CHECKS } from '../images/host-checks.js';
import { openHost, type OpenHostOptions } from '../providers/host.js';
import type { Host } from '../providers/provider.js';
import { homeDirectory } from './env.js';
import { DEFAULT_PROVIDER } from './settings.js';
import type { World } from './world.js';

/**
 * What is in force on this host.
 * @param flag `--config` of the stage
 */
export function driverConfig({ env, uid }: World, flag?: string): Promise<HostConfig> {
  return loadHostConfig({ flag: flag === undefined ? undefined : path.resolve(flag), env, uid, checks: HOST_CHECKS });
}

/** Opens this host for a stage. Only prepare needs to name a provider: afterwards the VM's record does. */
export function openDriverHost(
  world: World,
  config: HostConfig,
  { provider = DEFAULT_PROVIDER, registries }: Partial<Pick<OpenHostOptions, 'provider' | 'registries'>> = {},
): Promise<Host> {
  const { agentDirectory } = world.installation;
  return openHost({ home: homeDirectory(world), provider, agentDirectory, registries, config });
}
