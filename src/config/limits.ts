import { VmRunnerError } from '../core/errors.js';
import type { NetworkPolicy } from '../core/job.js';
import type { HostConfig, JobLimits } from './host-config.js';

/** What somebody asked for, of things that have a limit; absent: nothing. */
export interface LimitedWishes {
  readonly cpus?: number | undefined;
  readonly memoryMiB?: number | undefined;
  readonly diskMiB?: number | undefined;
  readonly network?: NetworkPolicy | undefined;
}

/** What of the wishes this host does not allow: one not-allowed error each. */
export function refusedWishes(wishes: LimitedWishes, config: HostConfig): VmRunnerError[] {
  const { limits } = config;
  const refused: VmRunnerError[] = [];
  const most = (name: string, what: string, wanted: number | undefined, limit: number | undefined, unit = ''): void => {
    if (wanted === undefined || limit === undefined || wanted <= limit) return;
    const hint = `The most is ${limit}${unit}: ${placeOfLimit(name, config)}.`;
    refused.push(notAllowed(`more ${what} than this host gives a job`, `${wanted}${unit}`, hint));
  };
  most('cpus', 'processors', wishes.cpus, limits.cpus);
  most('memory', 'memory', wishes.memoryMiB, limits.memoryMiB, ' MiB');
  most('disk', 'disk', wishes.diskMiB, limits.diskMiB, ' MiB');
  const { network } = wishes;
  if (network !== undefined && limits.networks !== undefined && !limits.networks.includes(network)) {
    const hint = `Allowed: ${limits.networks.join(', ') || 'none at all'}: ${placeOfLimit('networks', config)}.`;
    refused.push(notAllowed('network is not allowed on this host', network, hint));
  }
  return refused;
}

export function notAllowed(reason: string, subject: string, hint: string): VmRunnerError {
  return new VmRunnerError('not-allowed', reason, { subject, hint });
}

/** `limits.memory in /etc/vm-runner/vm-runner.toml:12`. */
export function placeOfLimit(name: string, { origins }: Pick<HostConfig, 'origins'>): string {
  const origin = origins.get(`limits.${name}`);
  return origin === undefined ? `limits.${name}` : `limits.${name} in ${origin.place}`;
}

/** A default, lowered when it is over the limit: nobody asked for it. */
export function lowered(value: number, limit: number | undefined): number {
  return limit === undefined ? value : Math.min(value, limit);
}

/** A network that nobody asked for by name: a lesser one when it is not allowed. */
export function allowedNetwork(network: NetworkPolicy, { networks }: Pick<JobLimits, 'networks'>): NetworkPolicy {
  return networks === undefined || networks.includes(network) ? network : 'none';
}
