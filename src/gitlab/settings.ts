import { combineInputErrors } from '../core/errors.js';
import { DEFAULT_BOOT_TIMEOUT_MS, DEFAULT_MEMORY_MIB, type NetworkPolicy } from '../core/job.js';
import { CPUS, DURATION, GUEST_PATH, MEMORY, NETWORK } from '../core/values.js';
import { Arguments } from './arguments.js';

/** What makes VMs when the operator names nothing else. */
export const DEFAULT_PROVIDER = 'qemu';

/** What the operator decides for all jobs of a runner, in `prepare_args`. */
export interface PrepareSettings {
  readonly provider: string;
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
  const flags = new Arguments('prepare_args', ['cpus', 'memory', 'network', 'boot-timeout', 'provider'], args);
  const settings = {
    provider: flags.text('provider') ?? DEFAULT_PROVIDER,
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
