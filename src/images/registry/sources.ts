import { DOCKER_HUB, type RegistryReference } from '../reference.js';
import { isLoopback } from './loopback.js';
import type { RegistryOptions } from './options.js';

/** One place that a repository can be read from: its registry, or a mirror of it. */
export interface SourceAddress {
  readonly origin: URL;
  /** Host, as credentials and CA files name it. */
  readonly host: string;
  readonly repository: string;
  /** The registry that a mirror is asked about; `undefined` for the registry itself. */
  readonly mirrorOf: string | undefined;
}

/** Where Docker Hub's registry really is. */
const HUB_HOST = 'registry-1.docker.io';

/** All sources of a repository in the order in which they are asked. */
export function sourceAddresses(
  { registry, repository }: Pick<RegistryReference, 'registry' | 'repository'>,
  options: Pick<RegistryOptions, 'mirrors' | 'insecure' | 'caFiles'>,
): readonly SourceAddress[] {
  const mirrors = (options.mirrors[registry] ?? []).map((url): SourceAddress => {
    const prefix = url.pathname.replaceAll(/^\/+|\/+$/g, '');
    return {
      origin: new URL(url.origin),
      host: url.host,
      repository: prefix === '' ? repository : `${prefix}/${repository}`,
      mirrorOf: registry,
    };
  });
  const origin = new URL(`https://${registry === DOCKER_HUB ? HUB_HOST : registry}`);
  const named = options.insecure.includes(registry) || options.insecure.includes(origin.hostname);
  const isPlain = named || (isLoopback(origin.hostname) && options.caFiles[registry] === undefined);
  return [
    ...mirrors,
    {
      origin: isPlain ? new URL(`http://${registry}`) : origin,
      host: registry,
      repository,
      mirrorOf: undefined,
    },
  ];
}
