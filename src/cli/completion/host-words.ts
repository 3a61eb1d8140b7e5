import { openCliHost } from '../host.js';
import { listEndedVms } from '../vm-list.js';
import type { World } from '../world.js';
import type { HostWords } from './candidates.js';

/** Names of what is on this host. What cannot be read offers nothing: a shell must not be disturbed. */
export async function wordsOfHost(kind: HostWords, world: World): Promise<readonly string[]> {
  try {
    const host = await openCliHost(world);
    switch (kind) {
      case 'vm':
        return await host.store.vms.names();
      case 'vm-or-ended':
        return [...(await host.store.vms.names()), ...(await listEndedVms(host)).map(({ name }) => name)];
      case 'image':
        return ['default', ...(await host.images.list()).flatMap(({ references }) => references)];
      case 'template':
        return (await host.templates.list()).map(({ key }) => key);
    }
  } catch {
    return [];
  }
}
