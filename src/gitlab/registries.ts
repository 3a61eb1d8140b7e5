import { registriesOf } from '../images/registry/environment.js';
import type { RegistryOptions } from '../images/registry/options.js';
import type { JobResponse } from './job-response.js';
import type { World } from './world.js';

/**
 * How the registry of a job's image is reached, in the order of GitLab's own executors: the job's DOCKER_AUTH_CONFIG, the
 * configuration of docker that the Runner's user has, and what GitLab gives every job.
 */
export function registriesFor(
  { dockerAuthConfig, registryCredentials }: Pick<JobResponse, 'dockerAuthConfig' | 'registryCredentials'>,
  env: World['env'],
): RegistryOptions {
  const before = dockerAuthConfig === undefined ? [] : [dockerAuthConfig];
  return registriesOf(env, {
    before: before.map((text) => ({ kind: 'text', name: 'DOCKER_AUTH_CONFIG of the job', text })),
    behind: registryCredentials.map(({ url, username, password }) => ({
      ...{ kind: 'login', name: 'credentials that GitLab gives the job', registry: url, username, password },
    })),
  });
}
