import { VmRunnerError } from '../../core/errors.js';
import type { HttpResponse } from './transport.js';
import { shownAddress } from './transport-error.js';

/**
 * The whole body of an answer that is meant to be small.
 * @throws registry-failed when it is longer.
 */
export async function readBody(response: HttpResponse, mostBytes: number): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  let bytes = 0;
  for await (const piece of response.body) {
    bytes += piece.byteLength;
    if (bytes > mostBytes) {
      throw new VmRunnerError('registry-failed', `answer is longer than ${mostBytes} bytes`, {
        subject: shownAddress(response.url),
        hint: 'Tell the operator of the registry.',
      });
    }
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}

/** A JSON object in a body; `undefined` when it is something else. */
export function jsonObject(bytes: Uint8Array): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(bytes).toString('utf8'));
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}
