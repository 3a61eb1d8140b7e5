import type { RegistryConfig } from '../config/host-config.js';
import { registriesOf } from '../images/registry/environment.js';
import type { RegistryOptions } from '../images/registry/options.js';
import type { JobResponse } from './job-response.js';
import type { World } from './world.js';

/**
 * How the registry of a job's image is reached, in the order of GitLab's own executors: the job's DOCKER_AUTH_CONFIG, the
 * credentials file of the host file with the configuration of docker that the Runner's user has, and what GitLab gives every job.
 */
export function registriesFor(
  { dockerAuthConfig, registryCredentials }: Pick<JobResponse, 'dockerAuthConfig' | 'registryCredentials'>,
  env: World['env'],
  config: RegistryConfig,
): RegistryOptions {
  const before = dockerAuthConfig === undefined ? [] : [dockerAuthConfig];
  return registriesOf(env, config, {
    before: before.map((text) => ({ kind: 'text', name: 'DOCKER_AUTH_CONFIG of the job', text })),
    behind: registryCredentials.map(({ url, username, password }) => ({
      ...{ kind: 'login', name: 'credentials that GitLab gives the job', registry: url, username, password },
    })),
  });
}
