import path from 'node:path';

import { combineInputErrors } from '../core/errors.js';
import type { VmWishes } from '../stages/order.js';
import { CPUS, DISK, DURATION, GUEST_PATH, MEMORY, NETWORK, PULL, TEMPLATE, WAIT } from '../core/values.js';
import { Arguments } from './arguments.js';

/** What makes VMs when the operator names nothing else. */
export const DEFAULT_PROVIDER = 'qemu';

const KNOWN = [
  ...['image', 'pull', 'template', 'cpus', 'memory', 'disk', 'network'],
  ...['boot-timeout', 'wait', 'provider', 'config'],
];

/** What the operator decides for all jobs of a runner, in `prepare_args`. */
export interface PrepareSettings {
  readonly provider: string;
  /** Path of the host file. */
  readonly config: string | undefined;
  /** Image and pull policy are for jobs that name none. */
  readonly vm: VmWishes;
  /** How long a job waits for room on this host; `undefined`: as the host file says. */
  readonly waitMs: number | undefined;
}

/** What the operator says in `config_args`. */
export interface ConfigSettings {
  /** Where a job's files are in the guest. */
  readonly builds: string;
  readonly cache: string;
  /** Absolute path of the host file, for all stages. */
  readonly config: string | undefined;
}

/** @throws invalid-input that names every mistake. */
export function parsePrepareSettings(args: readonly string[]): PrepareSettings {
  const flags = new Arguments('prepare_args', KNOWN, args);
  const settings = {
    provider: flags.text('provider') ?? DEFAULT_PROVIDER,
    config: flags.text('config'),
    vm: {
      image: flags.text('image'),
      pull: flags.read(PULL, 'pull'),
      template: flags.read(TEMPLATE, 'template'),
      cpus: flags.read(CPUS, 'cpus'),
      memoryMiB: flags.read(MEMORY, 'memory'),
      diskMiB: flags.read(DISK, 'disk'),
      network: flags.read(NETWORK, 'network'),
      bootTimeoutMs: flags.read(DURATION, 'boot-timeout'),
    },
    waitMs: flags.read(WAIT, 'wait'),
  };
  return whole(settings, flags);
}

/** @throws invalid-input that names every mistake. */
export function parseConfigSettings(args: readonly string[]): ConfigSettings {
  const flags = new Arguments('config_args', ['builds-dir', 'cache-dir', 'config'], args);
  const config = flags.text('config');
  const settings = {
    builds: flags.read(GUEST_PATH, 'builds-dir') ?? '/builds',
    cache: flags.read(GUEST_PATH, 'cache-dir') ?? '/cache',
    config: config === undefined ? undefined : path.resolve(config),
  };
  return whole(settings, flags);
}

function whole<T>(value: T, flags: Arguments): T {
  const error = combineInputErrors(flags.mistakes);
  if (error !== undefined) throw error;
  return value;
}
