import { parseEndpoint, type Endpoint } from '../core/endpoint.js';
import { VmRunnerError } from '../core/errors.js';
import { DEFAULT_DISK_MIB, NETWORK_POLICIES, type NetworkPolicy } from '../core/job.js';
import { parseProcessIdentity, type ProcessIdentity } from '../core/process-identity.js';

/** The latest time that a date can be. */
export const NEVER = 8.64e15;

/** What the store knows of a VM. Holds no secrets. Times are milliseconds since 1970. */
export interface VmRecord {
  readonly version: 1;
  readonly name: string;
  /** Random: tells a VM from another one that had its name before. */
  readonly incarnation: string;
  /** The provider that made it and that can destroy it. */
  readonly provider: string;
  /** `pooled` while it waits for a job; `creating` until its agent has answered and it was told who it is. */
  readonly state: 'pooled' | 'creating' | 'ready';
  readonly createdAt: number;
  /** After this it is an orphan whoever lives; {@link NEVER} while only the owner decides. */
  readonly expiresAt: number;
  /** The process whose end makes it an orphan; `undefined` for VMs that were asked to stay. */
  readonly owner: ProcessIdentity | undefined;
  /** The process that runs it; `undefined` until it was started. */
  readonly vmm: ProcessIdentity | undefined;
  readonly endpoint: Endpoint;
  readonly image: string;
  /** Of its manifest; `undefined` where no image boots. */
  readonly imageDigest: string | undefined;
  /** Key of the template that it was cloned from; `undefined` when it booted. */
  readonly template: string | undefined;
  /** Where programs of the image start, and relative paths with them; `undefined` until its root is made. */
  readonly workingDirectory: string | undefined;
  /** Whom they run as, as the image says it; `undefined`: root. */
  readonly user: string | undefined;
  readonly cpus: number;
  readonly memoryMiB: number;
  /** The most that its own disk may take of the host's. */
  readonly diskMiB: number;
  /** The user that {@link vmm} runs as, when that is not ours: no other VM has it. */
  readonly vmmUid?: number | undefined;
  /** Directories of the control groups that it is in. */
  readonly cgroups?: readonly string[] | undefined;
  readonly network: NetworkPolicy;
  /** Who asked: `cli`, `gitlab`, `action` or `pool`, and for which job. Shown to people. */
  readonly frontEnd: string;
  readonly job: string | undefined;
}

const STATES: readonly VmRecord['state'][] = ['pooled', 'creating', 'ready'];

/** @throws store-damaged with the place and the field that is wrong. */
export function parseRecord(text: string, path: string): VmRecord {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw damaged(path, 'is no JSON', cause);
  }
  if (typeof value !== 'object' || value === null) throw damaged(path, 'is no object');
  const fields = value as Readonly<Record<string, unknown>>;
  const string = (key: string): string => {
    const field = fields[key];
    if (typeof field !== 'string') throw damaged(path, `has no text in "${key}"`);
    return field;
  };
  const number = (key: string): number => {
    const field = fields[key];
    if (typeof field !== 'number') throw damaged(path, `has no number in "${key}"`);
    return field;
  };
  const optional = (key: string): string | undefined => {
    const field = fields[key];
    return typeof field === 'string' ? field : undefined;
  };
  const process = (key: string): ProcessIdentity | undefined => {
    if (fields[key] === undefined) return undefined;
    const identity = parseProcessIdentity(fields[key]);
    if (identity === undefined) throw damaged(path, `names no process in "${key}"`);
    return identity;
  };
  const { version } = fields;
  if (typeof version === 'number' && version > 1) throw newer(path);
  if (version !== 1) throw damaged(path, 'has another version than 1');
  const network = NETWORK_POLICIES.find((policy) => policy === fields['network']);
  if (network === undefined) throw damaged(path, 'has no known policy in "network"');
  const endpoint = parseEndpoint(fields['endpoint']);
  if (endpoint === undefined) throw damaged(path, 'has no known kind in "endpoint"');
  return {
    version: 1,
    name: string('name'),
    incarnation: string('incarnation'),
    provider: string('provider'),
    state: STATES.find((state) => state === fields['state']) ?? 'creating',
    createdAt: number('createdAt'),
    expiresAt: number('expiresAt'),
    owner: process('owner'),
    vmm: process('vmm'),
    endpoint,
    image: string('image'),
    imageDigest: optional('imageDigest'),
    template: optional('template'),
    workingDirectory: optional('workingDirectory'),
    user: optional('user'),
    cpus: number('cpus'),
    memoryMiB: number('memoryMiB'),
    // A record of an older vm-runner says nothing.
    diskMiB: typeof fields['diskMiB'] === 'number' ? fields['diskMiB'] : DEFAULT_DISK_MIB,
    ...(typeof fields['vmmUid'] === 'number' ? { vmmUid: fields['vmmUid'] } : {}),
    ...(Array.isArray(fields['cgroups']) ? { cgroups: fields['cgroups'].filter((at) => typeof at === 'string') } : {}),
    network,
    frontEnd: string('frontEnd'),
    job: optional('job'),
  };
}

function damaged(path: string, what: string, cause?: unknown): VmRunnerError {
  return new VmRunnerError('store-damaged', `record of a VM ${what}`, {
    subject: path,
    hint: 'Remove what is left of that VM with: vm-runner gc',
    cause,
  });
}

/** Not damaged, and so nobody's to take away who does not understand it. */
function newer(path: string): VmRunnerError {
  return new VmRunnerError('store-newer', 'record of a VM was written by a newer vm-runner', {
    subject: path,
    hint: 'Look at that VM with the newer one, or remove it there.',
  });
}
