import { VmRunnerError } from '../../core/errors.js';
import { parseRegistryHost } from '../reference.js';
import { mayBePlain } from './loopback.js';
import { NO_PROXY, type ProxyOptions } from './proxy.js';

/** Where credentials may come from; the first source that knows a path decides about it. */
export type CredentialSource =
  /** Docker's `config.json` or the older `.dockercfg`; a file that is not there knows nothing. */
  | { readonly kind: 'file'; readonly path: string; readonly helpers: CredentialHelpers | undefined }
  /** The text of such a file, as in GitLab's DOCKER_AUTH_CONFIG; strangers write it, so it starts no helpers. */
  | { readonly kind: 'text'; readonly name: string; readonly text: string }
  | {
      readonly kind: 'login';
      readonly name: string;
      readonly registry: string;
      readonly username: string;
      readonly password: string;
    };

/** Programs `docker-credential-NAME` may be asked, with this as their whole environment; PATH finds them. */
export type CredentialHelpers = Readonly<Record<string, string>>;

/** How to reach registries. Plain data: whoever reads files and variables makes it with {@link registryOptions}. */
export interface RegistryOptions {
  readonly credentials: readonly CredentialSource[];
  /** Hosts that are spoken to over plain HTTP and may have credentials over it. Loopback always is, unless it has a CA file. */
  readonly insecure: readonly string[];
  /** By registry, in order; the registry itself comes last. An address may have a path: a prefix of all repositories. */
  readonly mirrors: Readonly<Record<string, readonly URL[]>>;
  /** By host: PEM files of certificate authorities that are trusted there besides the usual ones. */
  readonly caFiles: Readonly<Record<string, string>>;
  readonly proxy: ProxyOptions;
}

/** {@link RegistryOptions} as people write them; everything may be left out. */
export interface RegistrySettings {
  readonly credentials?: readonly CredentialSource[];
  readonly insecure?: readonly string[];
  readonly mirrors?: Readonly<Record<string, readonly string[]>>;
  readonly caFiles?: Readonly<Record<string, string>>;
  readonly proxy?: ProxyOptions;
}

/** @throws invalid-input for hosts and addresses that are none. */
export function registryOptions(settings: RegistrySettings = {}): RegistryOptions {
  const insecure = (settings.insecure ?? []).map(readRegistryHost);
  const mirrors = Object.entries(settings.mirrors ?? {}).map(
    ([registry, addresses]) =>
      [readRegistryHost(registry), addresses.map((text) => readMirror(text, insecure))] as const,
  );
  const caFiles = Object.entries(settings.caFiles ?? {}).map(([host, file]) => [readRegistryHost(host), file] as const);
  return {
    credentials: settings.credentials ?? [],
    insecure,
    mirrors: Object.fromEntries(mirrors),
    caFiles: Object.fromEntries(caFiles),
    proxy: settings.proxy ?? NO_PROXY,
  };
}

/** @throws invalid-input */
export function readRegistryHost(text: string): string {
  const host = parseRegistryHost(text);
  if (host !== undefined) return host;
  throw new VmRunnerError('invalid-input', 'not the host of a registry', {
    subject: JSON.stringify(text),
    hint: 'Expected a host name or address, with :PORT if need be.',
  });
}

function readMirror(text: string, insecure: readonly string[]): URL {
  const wrong = (hint: string): VmRunnerError =>
    new VmRunnerError('invalid-input', 'not the address of a mirror', { subject: JSON.stringify(text), hint });
  if (!URL.canParse(text)) throw wrong('Expected https://HOST, with a path if need be.');
  const url = new URL(text);
  if (url.username !== '' || url.password !== '') throw wrong('Credentials belong into a credentials file.');
  if (url.search !== '' || url.hash !== '') throw wrong('Leave out what is behind the path.');
  if (url.protocol === 'https:' || (url.protocol === 'http:' && mayBePlain(url, insecure))) return url;
  throw wrong('Expected https://HOST; http:// needs the host among the insecure registries.');
}
