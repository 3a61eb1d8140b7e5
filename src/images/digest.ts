import { createHash } from 'node:crypto';

import { VmRunnerError } from '../core/errors.js';

/** The digest as hexadecimal digits. */
export function sha256(data: string | Uint8Array): string {
  return createHash('sha256').update(data).digest('hex');
}

/** The digest as images name it: `sha256:…`. */
export function digestOf(data: string | Uint8Array): string {
  return `sha256:${sha256(data)}`;
}

/**
 * The digits of a digest, which are safe as a file name.
 * @throws image-invalid when it is no SHA-256 digest: others are allowed by OCI, and nobody uses them.
 */
export function digestHex(digest: string): string {
  const match = /^sha256:([0-9a-f]{64})$/.exec(digest);
  if (match?.[1] !== undefined) return match[1];
  throw new VmRunnerError('image-invalid', 'not a SHA-256 digest', { subject: JSON.stringify(digest.slice(0, 100)) });
}
