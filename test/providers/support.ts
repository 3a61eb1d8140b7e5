import { existsSync } from 'node:fs';

import { delay } from '../../src/core/deadline.js';
import type { ProcessIdentity } from '../../src/core/process-identity.js';
import { Timeline } from '../../src/core/log.js';
import type { LinuxProcessTable } from '../../src/process/table.js';
import type { CreateContext, CreateRequest, Provider } from '../../src/providers/provider.js';
import type { Store } from '../../src/store/store.js';
import { recordingLog } from '../images/support.js';

export function createRequest(changes: Partial<CreateRequest> = {}): CreateRequest {
  return {
    name: 'vm-1',
    incarnation: 'a1',
    image: 'default',
    boot: undefined,
    cpus: 1,
    memoryMiB: 512,
    network: 'none',
    owner: undefined,
    expiresAt: Date.now() + 3_600_000,
    frontEnd: 'cli',
    job: 'job 1',
    ...changes,
  };
}

export function createContext(
  agentAnswers: CreateContext['agentAnswers'] = () => Promise.resolve(),
): CreateContext & { readonly log: ReturnType<typeof recordingLog> } {
  return { log: recordingLog(), timeline: new Timeline(), signal: new AbortController().signal, agentAnswers };
}

/** Makes a VM, and makes its record forget the process: as if its maker had been killed before it could write that down. */
export async function createForgotten(
  provider: Provider,
  store: Store,
  request: CreateRequest,
): Promise<ProcessIdentity> {
  const { vmm } = await provider.create(request, createContext());
  if (vmm === undefined) throw new Error('no process in the record');
  await store.vms.update(request.name, { vmm: undefined });
  return vmm;
}

/** What is left of a VM: nothing, when it was destroyed. */
export function remains(
  name: string,
  vmm: ProcessIdentity | undefined,
  { store, processes }: { readonly store: Store; readonly processes: LinuxProcessTable },
): { readonly process: boolean; readonly directory: boolean } {
  return {
    process: vmm !== undefined && processes.isAlive(vmm),
    directory: existsSync(store.vms.paths(name).directory),
  };
}

export const NOTHING = { process: false, directory: false };

/** Waits for something that another process does; the test's own deadline is the limit. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await delay(5);
}
