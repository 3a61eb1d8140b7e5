import { BlockList, isIP, isIPv6 } from 'node:net';

import { VmRunnerError } from '../../core/errors.js';
import { isLoopback } from './loopback.js';

/** Ways out of this network. */
export interface ProxyOptions {
  /** For https addresses, which it is asked to CONNECT to. */
  readonly https: URL | undefined;
  /** For plain http addresses. */
  readonly http: URL | undefined;
  /** Hosts that are reached directly, as NO_PROXY lists them. */
  readonly except: readonly string[];
}

export const NO_PROXY: ProxyOptions = { https: undefined, http: undefined, except: [] };

/**
 * The proxy variables that programs agree on, from an environment that the caller was given: HTTPS_PROXY, HTTP_PROXY,
 * ALL_PROXY and NO_PROXY, the lower-case names first.
 * @throws invalid-input when one holds no address. The sentence does not repeat it: it may hold a password.
 */
export function parseProxy(variables: Readonly<Record<string, string | undefined>>): ProxyOptions {
  const read = (name: string): string | undefined => variables[name.toLowerCase()] || variables[name] || undefined;
  const address = (name: string): URL | undefined => {
    const found = read(name) === undefined ? 'ALL_PROXY' : name;
    const text = read(found);
    return text === undefined ? undefined : parseAddress(found, text);
  };
  const except = (read('NO_PROXY') ?? '').split(/[\s,]+/).filter((entry) => entry !== '');
  return { https: address('HTTPS_PROXY'), http: address('HTTP_PROXY'), except };
}

/** The proxy to take to an address; `undefined`: go directly. Loopback is always direct. */
export function proxyFor(url: URL, proxy: ProxyOptions): URL | undefined {
  const chosen = url.protocol === 'https:' ? proxy.https : proxy.http;
  if (chosen === undefined || isLoopback(url.hostname)) return undefined;
  return proxy.except.some((entry) => matches(entry.toLowerCase(), url)) ? undefined : chosen;
}

/** The header that tells a proxy who we are. */
export function proxyAuthorization(proxy: URL): Record<string, string> {
  if (proxy.username === '' && proxy.password === '') return {};
  const pair = `${decodeURIComponent(proxy.username)}:${decodeURIComponent(proxy.password)}`;
  return { 'proxy-authorization': `Basic ${Buffer.from(pair).toString('base64')}` };
}

function parseAddress(name: string, text: string): URL {
  const full = text.includes('://') ? text : `http://${text}`;
  const url = URL.canParse(full) ? new URL(full) : undefined;
  if (url !== undefined && /^https?:$/.test(url.protocol) && url.hostname !== '' && isEscaped(url)) return url;
  throw new VmRunnerError('invalid-input', 'not the address of a proxy', {
    subject: name,
    hint: 'Expected http://HOST:PORT or https://HOST:PORT.',
  });
}

function isEscaped({ username, password }: URL): boolean {
  try {
    decodeURIComponent(username + password);
    return true;
  } catch {
    return false;
  }
}

/** One entry of NO_PROXY: `*`, a domain (with or without a dot in front), an address, a network, each perhaps with a port. */
function matches(entry: string, url: URL): boolean {
  if (entry === '*') return true;
  const host = url.hostname.replaceAll(/^\[|\]$/g, '').toLowerCase();
  if (entry.includes('/')) return inNetwork(entry, host);
  const [, name = entry, port] = isIPv6(entry) ? [] : (/^(.*?)(?::(\d+))?$/.exec(entry) ?? []);
  const usualPort = url.protocol === 'https:' ? '443' : '80';
  if (port !== undefined && port !== (url.port || usualPort)) return false;
  const bare = name.replaceAll(/^\[|\]$/g, '').replace(/^\*?\./, '');
  return host === bare || (isIP(host) === 0 && host.endsWith(`.${bare}`));
}

function inNetwork(entry: string, host: string): boolean {
  const [network = '', bits = ''] = entry.split('/');
  const family = isIPv6(network) ? 'ipv6' : 'ipv4';
  const most = family === 'ipv6' ? 128 : 32;
  if (isIP(network) === 0 || isIP(host) !== isIP(network) || !/^\d{1,3}$/.test(bits) || Number(bits) > most)
    return false;
  const list = new BlockList();
  list.addSubnet(network, Number(bits), family);
  return list.check(host, family);
}
