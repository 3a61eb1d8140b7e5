import type { CreateContext } from '../provider.js';
import { chooseAcceleration, type AccelerationChoice, type AccelerationOptions } from './acceleration.js';
import { probeAcceleration } from './acceleration-probe.js';
import { hostConfinement, probeConfinement } from './confinement.js';
import type { QemuHost } from './plan.js';
import { letReach } from './reach.js';

/** How guests of a kernel are run on this host: by trying it once, as VMs are run. */
export async function hostAcceleration(
  host: QemuHost,
  qemuVersion: string,
  kernel: string,
  { log, signal }: Pick<CreateContext, 'log' | 'signal'>,
  how: Pick<AccelerationOptions, 'doubtful'> = {},
): Promise<AccelerationChoice> {
  const { store, processes, binary, searchPath } = host;
  const probe = async (): Promise<string | undefined> => {
    const confined = await hostConfinement(host, 'kvm');
    if (confined.groups !== undefined) letReach(store.paths, [kernel]);
    const confinement = probeConfinement(host, confined);
    return probeAcceleration({ binary, kernel, acceleration: 'kvm', searchPath, signal, confinement });
  };
  return chooseAcceleration({ store: store.paths, processes, qemuVersion, probe, log, signal, ...how });
}
