import { systemCode, VmRunnerError } from '../../core/errors.js';
import { Transient } from './transient.js';

/** An address without what may be secret in it: user, password, and the query, which signs for the bearer. */
export function shownAddress(url: URL): string {
  return `${url.protocol}//${url.host}${url.pathname}`;
}

/** A request that got no answer, or lost it on the way, as ours: {@link Transient} when another try may help. */
export function transportError(url: URL, cause: Error): Error {
  if (cause instanceof VmRunnerError || cause instanceof Transient) return cause;
  const code = systemCode(cause) ?? '';
  const fail = (reason: string, hint?: string): VmRunnerError =>
    new VmRunnerError('registry-failed', reason, {
      subject: shownAddress(url),
      cause,
      ...(hint === undefined ? {} : { hint }),
    });
  if (code === 'ENOTFOUND') {
    return fail(
      `host name ${url.hostname} is not known`,
      'Check the name of the registry, and the name servers of this host.',
    );
  }
  if (code === 'EAI_AGAIN') {
    return new Transient(fail(`no name server answered for ${url.hostname}`, 'Check the network of this host.'));
  }
  const certificate = certificateProblem(code);
  if (certificate !== undefined) return fail(certificate.reason, certificate.hint);
  if (code === 'EPROTO' || code.startsWith('ERR_SSL') || code.startsWith('ERR_TLS')) {
    return fail(
      'no TLS connection could be made',
      `The other end may speak plain HTTP: list ${url.host} as insecure then.`,
    );
  }
  if (code.startsWith('HPE_')) return fail('answer is no HTTP', 'The other end may speak TLS: give its CA file then.');
  const reasons: Readonly<Record<string, string>> = {
    ECONNREFUSED: 'connection was refused',
    ECONNRESET: 'connection was lost',
    EPIPE: 'connection was lost',
    ETIMEDOUT: 'connection timed out',
    EHOSTUNREACH: 'host cannot be reached',
    ENETUNREACH: 'network cannot be reached',
  };
  return new Transient(
    fail(reasons[code] ?? `connection failed (${cause.message})`, 'Check the network, and that the registry is up.'),
  );
}

function certificateProblem(code: string): { reason: string; hint: string } | undefined {
  switch (code) {
    case 'CERT_HAS_EXPIRED':
      return { reason: 'certificate has expired', hint: 'The operator of the registry must renew it.' };
    case 'CERT_NOT_YET_VALID':
      return { reason: 'certificate is not valid yet', hint: 'Check the clock of this host.' };
    case 'ERR_TLS_CERT_ALTNAME_INVALID':
      return { reason: 'certificate is for another host', hint: 'Check the name of the registry.' };
    case 'DEPTH_ZERO_SELF_SIGNED_CERT':
    case 'SELF_SIGNED_CERT_IN_CHAIN':
    case 'UNABLE_TO_GET_ISSUER_CERT':
    case 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY':
    case 'UNABLE_TO_VERIFY_LEAF_SIGNATURE':
    case 'CERT_UNTRUSTED':
      return {
        reason: 'certificate is of no authority that this host trusts',
        hint: 'Give the CA file of this registry.',
      };
    default:
      return code.startsWith('CERT_')
        ? { reason: `certificate is refused (${code})`, hint: 'Check it with openssl.' }
        : undefined;
  }
}
