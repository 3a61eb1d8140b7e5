import { registriesOf } from '../images/registry/environment.js';
import { openHost } from '../providers/host.js';
import type { Host } from '../providers/provider.js';
import { noSuchVm } from '../store/vms.js';
import { storeHome } from '../store/home.js';
import type { VmRecord } from '../store/record.js';
import type { World } from './world.js';

export const DEFAULT_PROVIDER = 'qemu';

/** Opens this host for a command. */
export async function openCliHost(world: World, provider = DEFAULT_PROVIDER): Promise<Host> {
  const { agentDirectory } = world.installation;
  const config = await world.config();
  return openHost({
    home: storeHome(world.env, world.uid),
    provider,
    agentDirectory,
    config,
    registries: registriesOf(world.env, config.registries),
  });
}

/** @throws no-such-vm */
export async function findRecord(host: Host, name: string): Promise<VmRecord> {
  const record = await host.store.vms.read(name);
  if (record === undefined) throw noSuchVm(name);
  return record;
}
