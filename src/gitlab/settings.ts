import { combineInputErrors } from '../core/errors.js';
import {
  DEFAULT_BOOT_TIMEOUT_MS,
  DEFAULT_IMAGE,
  DEFAULT_MEMORY_MIB,
  type NetworkPolicy,
  type PullPolicy,
  type TemplatePolicy,
} from '../core/job.js';
import { CPUS, DURATION, GUEST_PATH, MEMORY, NETWORK, PULL, TEMPLATE } from '../core/values.js';
import { Arguments } from './arguments.js';

/** What makes VMs when the operator names nothing else. */
export const DEFAULT_PROVIDER = 'qemu';

const KNOWN = ['image', 'pull', 'template', 'cpus', 'memory', 'network', 'boot-timeout', 'provider'];

/** What the operator decides for all jobs of a runner, in `prepare_args`. */
export interface PrepareSettings {
  readonly provider: string;
  /** For jobs that name none. */
  readonly image: string;
  /** For jobs that name none. */
  readonly pull: PullPolicy | undefined;
  readonly template: TemplatePolicy | undefined;
  /** `undefined`: the provider's default. */
  readonly cpus: number | undefined;
  readonly memoryMiB: number;
  readonly network: NetworkPolicy;
  readonly bootTimeoutMs: number;
}

/** Where a job's files are in the guest, from `config_args`. */
export interface GuestDirectories {
  readonly builds: string;
  readonly cache: string;
}

/** @throws invalid-input that names every mistake. */
export function parsePrepareSettings(args: readonly string[]): PrepareSettings {
  const flags = new Arguments('prepare_args', KNOWN, args);
  const settings = {
    provider: flags.text('provider') ?? DEFAULT_PROVIDER,
    image: flags.text('image') ?? DEFAULT_IMAGE,
    pull: flags.read(PULL, 'pull'),
    template: flags.read(TEMPLATE, 'template'),
    cpus: flags.read(CPUS, 'cpus'),
    memoryMiB: flags.read(MEMORY, 'memory') ?? DEFAULT_MEMORY_MIB,
    network: flags.read(NETWORK, 'network') ?? 'open',
    bootTimeoutMs: flags.read(DURATION, 'boot-timeout') ?? DEFAULT_BOOT_TIMEOUT_MS,
  };
  return whole(settings, flags);
}

/** @throws invalid-input that names every mistake. */
export function parseGuestDirectories(args: readonly string[]): GuestDirectories {
  const flags = new Arguments('config_args', ['builds-dir', 'cache-dir'], args);
  const directories = {
    builds: flags.read(GUEST_PATH, 'builds-dir') ?? '/builds',
    cache: flags.read(GUEST_PATH, 'cache-dir') ?? '/cache',
  };
  return whole(directories, flags);
}

function whole<T>(value: T, flags: Arguments): T {
  const error = combineInputErrors(flags.mistakes);
  if (error !== undefined) throw error;
  return value;
}
