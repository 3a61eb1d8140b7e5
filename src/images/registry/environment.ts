import path from 'node:path';

import type { RegistryConfig } from '../../config/host-config.js';
import type { CredentialSource, RegistryOptions } from './options.js';
import { registryOptions } from './options.js';
import { parseProxy } from './proxy.js';

type Environment = Readonly<Record<string, string | undefined>>;

/** What credential helpers get of an environment: they keep their secrets in the home, some in a session's keyring. */
const FOR_HELPERS = ['HOME', 'PATH', 'DOCKER_CONFIG', 'XDG_RUNTIME_DIR', 'DBUS_SESSION_BUS_ADDRESS'];

/**
 * How registries are reached from an environment that a front end was given: as the host file says, with docker's
 * configuration of that user behind its credentials file, and through the proxies that the environment names.
 * @param around sources of credentials that come before those, and behind them
 * @throws invalid-input when a variable or a mirror of the host file makes no sense
 */
export function registriesOf(
  env: Environment,
  { mirrors, insecure, caFiles, credentialsFile }: RegistryConfig,
  around: { readonly before?: readonly CredentialSource[]; readonly behind?: readonly CredentialSource[] } = {},
): RegistryOptions {
  const { before = [], behind = [] } = around;
  const files = [...(credentialsFile === undefined ? [] : [credentialsFile]), ...dockerFiles(env)];
  const helpers = helpersEnvironment(env);
  const credentials = [...before, ...files.map((path) => ({ kind: 'file' as const, path, helpers })), ...behind];
  return registryOptions({ credentials, mirrors, insecure, caFiles, proxy: parseProxy(env) });
}

function helpersEnvironment(env: Environment): Readonly<Record<string, string>> {
  return Object.fromEntries(FOR_HELPERS.flatMap((name) => (env[name] === undefined ? [] : [[name, env[name]]])));
}

function dockerFiles(env: Environment): string[] {
  return [
    ...(env['DOCKER_CONFIG'] ? [path.join(env['DOCKER_CONFIG'], 'config.json')] : []),
    ...(!env['DOCKER_CONFIG'] && env['HOME'] ? [path.join(env['HOME'], '.docker/config.json')] : []),
    ...(env['HOME'] ? [path.join(env['HOME'], '.dockercfg')] : []),
  ];
}
