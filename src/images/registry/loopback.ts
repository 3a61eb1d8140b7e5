/** Whether a host of an address is this one. */
export function isLoopback(hostname: string): boolean {
  const name = hostname.replaceAll(/^\[|\]$/g, '').toLowerCase();
  return name === 'localhost' || name.endsWith('.localhost') || name === '::1' || /^127(\.\d{1,3}){3}$/.test(name);
}

/** Whether an address may be spoken to without TLS: loopback, and hosts that the operator named. */
export function mayBePlain(url: URL, insecure: readonly string[]): boolean {
  return isLoopback(url.hostname) || insecure.includes(url.host) || insecure.includes(url.hostname);
}
