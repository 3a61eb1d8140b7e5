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

const SHA256 = /^sha256:([0-9a-f]{64})$/;

/** Whether a text is a digest of the kind that we know: OCI allows others, and nobody uses them. */
export function isDigest(text: unknown): text is string {
  return typeof text === 'string' && SHA256.test(text);
}

/**
 * The digits of a digest, which are safe as a file name.
 * @throws image-invalid when it is no SHA-256 digest.
 */
export function digestHex(digest: string): string {
  const digits = SHA256.exec(digest)?.[1];
  if (digits !== undefined) return digits;
  throw new VmRunnerError('image-invalid', 'not a SHA-256 digest', { subject: JSON.stringify(digest.slice(0, 100)) });
}
