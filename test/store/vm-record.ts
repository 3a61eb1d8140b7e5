import { LinuxProcessTable } from '../../src/process/table.js';
import type { VmRecord } from '../../src/store/record.js';

export const processes = new LinuxProcessTable();

/** A record as a provider writes it. */
export function recordNamed(name: string, change: Partial<VmRecord> = {}): VmRecord {
  return {
    version: 1,
    name,
    incarnation: 'a1',
    provider: 'fake',
    state: 'creating',
    createdAt: 1000,
    expiresAt: 2000,
    owner: processes.self,
    vmm: undefined,
    endpoint: { kind: 'serial', paths: ['/a', '/b'] },
    image: 'default',
    imageDigest: undefined,
    template: undefined,
    workingDirectory: undefined,
    user: undefined,
    cpus: 1,
    memoryMiB: 512,
    diskMiB: 1024,
    network: 'none',
    frontEnd: 'cli',
    job: undefined,
    ...change,
  };
}
