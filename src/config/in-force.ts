import { DEFAULT_DISK_MIB, DEFAULT_MEMORY_MIB } from '../core/job.js';
import type { HostConfig, SettingOrigin } from './host-config.js';
import { allowedNetwork } from './limits.js';
import { SCHEMA, TABLE_NAMES, type Settings } from './schema.js';

/** A setting as it is in force. */
export interface SettingInForce {
  /** `limits.memory`. */
  readonly setting: string;
  /** As people would write it; for a default also what happens then. */
  readonly value: string;
  /** `default`, `FILE:LINE`, `environment NAME`; for a default over a limit where the limit is. */
  readonly from: string;
}

/** Every setting of the host file, in the order of docs/HOST.md. */
export function settingsInForce(config: HostConfig): readonly SettingInForce[] {
  const lowered = loweredDefaults(config);
  return TABLE_NAMES.flatMap((table) => {
    const names = table === 'images' ? [...config.images.keys()].map((name) => `images.${name}`) : [table];
    return names.flatMap((path) => {
      const settings: Settings = SCHEMA[table];
      return Object.entries(settings).flatMap(([name, { otherwise }]) => {
        const setting = `${path}.${name}`;
        const limit = lowered.get(setting);
        if (limit !== undefined) return [{ setting, value: limit.text, from: limit.place }];
        const said = originsBelow(config.origins, setting);
        // Of a named image only what is said: the rest is in the defaults.
        if (said.length > 0 || table === 'images') return said;
        return [{ setting, value: otherwise, from: 'default' }];
      });
    });
  });
}

/** One for a value, one for each name of a table. */
function originsBelow(origins: HostConfig['origins'], setting: string): SettingInForce[] {
  return [...origins]
    .filter(([path]) => path === setting || path.startsWith(`${setting}."`))
    .map(([path, { place, text }]) => ({ setting: path, value: text, from: place }));
}

/** Defaults that a limit is below of. */
function loweredDefaults({ defaults, limits, origins }: HostConfig): ReadonlyMap<string, SettingOrigin> {
  const { memoryMiB = DEFAULT_MEMORY_MIB, diskMiB = DEFAULT_DISK_MIB, network = 'open' } = defaults;
  const isLowered = {
    cpus: (limits.cpus ?? Infinity) < (defaults.cpus ?? 1),
    memory: (limits.memoryMiB ?? Infinity) < memoryMiB,
    disk: (limits.diskMiB ?? Infinity) < diskMiB,
  };
  const lowered = new Map<string, SettingOrigin>();
  for (const [name, is] of Object.entries(isLowered)) {
    const limit = origins.get(`limits.${name}`);
    if (is && limit !== undefined) {
      lowered.set(`defaults.${name}`, { ...limit, place: `${limit.place} (limits.${name})` });
    }
  }
  const limit = origins.get('limits.networks');
  const allowed = allowedNetwork(network, limits);
  if (limit !== undefined && allowed !== network) {
    lowered.set('defaults.network', { text: allowed, place: `${limit.place} (limits.networks)` });
  }
  return lowered;
}
