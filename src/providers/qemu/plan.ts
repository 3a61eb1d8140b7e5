import type { NetworkPolicy } from '../../core/job.js';
import type { Confinement } from '../../process/confine.js';
import type { ProcessTable } from '../../core/process-identity.js';
import type { BaseGuest, LocalImage } from '../../images/image.js';
import type { VmPaths } from '../../store/paths.js';
import type { Store } from '../../store/store.js';
import type { CreateContext } from '../provider.js';
import type { Qemu } from './identity.js';
import type { MachineSpec } from './machine.js';

/** What VMs are made with on this host. */
export interface QemuHost {
  readonly store: Store;
  readonly processes: ProcessTable;
  /** Name or path of QEMU. */
  readonly binary: string;
  /** Where QEMU looks up programs; all that it gets of an environment. */
  readonly searchPath: string;
  /** Whether each clone gets a copy of its template's memory, for guests that must not share even a descriptor. */
  readonly isolateTemplates: boolean;
  /** Whether QEMU runs as a user of its own where we are root. */
  readonly ownUsers: boolean;
}

/** A VM that is about to be: everything is decided but whether it is cloned or boots. */
export interface VmPlan {
  readonly qemu: Qemu;
  readonly acceleration: MachineSpec['acceleration'];
  readonly cpus: number;
  readonly memoryMiB: number;
  readonly network: NetworkPolicy;
  readonly base: BaseGuest;
  readonly image: LocalImage | undefined;
  readonly name: string;
  readonly paths: VmPaths;
  /** What holds for its QEMU, and for those that make a template for it. */
  readonly confinement: Confinement;
}

export type StartContext = Pick<CreateContext, 'log' | 'timeline' | 'signal' | 'agentAnswers'>;

/** The machine of a VM, less what depends on how it starts. */
export function plannedMachine({ store }: QemuHost, plan: VmPlan): Omit<MachineSpec, 'memory' | 'start'> {
  const { qemu, name, acceleration, cpus, memoryMiB, network, base, image, paths } = plan;
  const disks = {
    scratch: paths.disk,
    base: { vmdk: base.root.disk },
    image: image?.disk,
    emptySlot: store.paths.emptySlot,
  };
  return { binary: qemu.binary, name, acceleration, cpus, memoryMiB, network, disks, paths };
}
