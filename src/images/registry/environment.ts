import path from 'node:path';

import type { CredentialSource, RegistryOptions } from './options.js';
import { registryOptions } from './options.js';
import { parseProxy } from './proxy.js';

type Environment = Readonly<Record<string, string | undefined>>;

/** What credential helpers get of an environment: they keep their secrets in the home, some in a session's keyring. */
const FOR_HELPERS = ['HOME', 'PATH', 'DOCKER_CONFIG', 'XDG_RUNTIME_DIR', 'DBUS_SESSION_BUS_ADDRESS'];

/**
 * How registries are reached from an environment that a front end was given: with docker's configuration of that user, and
 * through the proxies it names.
 * @param around sources of credentials that come before docker's configuration, and behind it
 * @throws invalid-input when a variable makes no sense
 */
export function registriesOf(
  env: Environment,
  around: { readonly before?: readonly CredentialSource[]; readonly behind?: readonly CredentialSource[] } = {},
): RegistryOptions {
  const { before = [], behind = [] } = around;
  return registryOptions({ credentials: [...before, ...dockerFiles(env), ...behind], proxy: parseProxy(env) });
}

function dockerFiles(env: Environment): CredentialSource[] {
  const helpers = Object.fromEntries(
    FOR_HELPERS.flatMap((name) => (env[name] === undefined ? [] : [[name, env[name]]])),
  ) as Readonly<Record<string, string>>;
  const files = [
    ...(env['DOCKER_CONFIG'] ? [path.join(env['DOCKER_CONFIG'], 'config.json')] : []),
    ...(!env['DOCKER_CONFIG'] && env['HOME'] ? [path.join(env['HOME'], '.docker/config.json')] : []),
    ...(env['HOME'] ? [path.join(env['HOME'], '.dockercfg')] : []),
  ];
  return files.map((file) => ({ kind: 'file', path: file, helpers }));
}
