/** Whether a host of an address is this one. */
export function isLoopback(hostname: string): boolean {
  const name = hostname.replaceAll(/^\[|\]$/g, '').toLowerCase();
  return name === 'localhost' || name.endsWith('.localhost') || name === '::1' || /^127(\.\d{1,3}){3}$/.test(name);
}

/** Whether an address may be spoken to without TLS: loopback, and hosts that the operator named. */
export function mayBePlain(url: URL, insecure: readonly string[]): boolean {
  return isLoopback(url.hostname) || insecure.includes(url.host) || insecure.includes(url.hostname);
}

/** Whether we go where somebody sends us: never to our own host on behalf of another, and to plain HTTP only as above. */
export function mayBeSentTo(url: URL, from: URL, insecure: readonly string[]): boolean {
  if (isLoopback(url.hostname) && !isLoopback(from.hostname)) return false;
  return url.protocol === 'https:' || (url.protocol === 'http:' && mayBePlain(url, insecure));
}
