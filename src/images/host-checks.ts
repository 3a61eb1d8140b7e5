import type { HostChecks } from '../config/kinds.js';
import { parseReference } from './reference.js';
import { mayBePlain } from './registry/loopback.js';
import { readRegistryHost } from './registry/options.js';

/** What the host file says of images and registries is read by the rules of this room. */
export const HOST_CHECKS: HostChecks = {
  reference: (text) => void parseReference(text),
  registry: (host) => void readRegistryHost(host),
  mayBePlain: (mirror, insecure) => mayBePlain(mirror, insecure.map(readRegistryHost)),
};
