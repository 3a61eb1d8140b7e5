import type { Writable } from 'node:stream';

/**
 * Writes bytes and returns when they are out, so that a slow reader slows the guest down and does not fill our memory.
 * A reader that is gone is no error here: the stream's own `error` event is for that.
 */
export function writeThrough(stream: Writable, bytes: Uint8Array): Promise<void> {
  return new Promise((resolve) => {
    if (stream.writable) stream.write(bytes, () => resolve());
    else resolve();
  });
}
