import path from 'node:path';

import type { HostConfig } from '../config/host-config.js';
import { loadHostConfig } from '../config/load.js';
import { HOST_CHECKS } from '../images/host-checks.js';
import type { Outside } from './world.js';

/** Reads the host file when somebody first asks for it: what a command says of itself needs none. */
export function configOnce(flag: string | undefined, { env, uid, cwd }: Outside): () => Promise<HostConfig> {
  let config: Promise<HostConfig> | undefined;
  const options = { flag: flag === undefined ? undefined : path.resolve(cwd, flag), env, uid, checks: HOST_CHECKS };
  return () => (config ??= loadHostConfig(options));
}
