import { randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';

import { VmRunnerError } from '../core/errors.js';

/** See proto/CHANNEL.md for this layout and why HTTP/2's own preface cannot do it. */
const MAGIC = Buffer.from('ff7445d01c5d6ba442f608543ca0f77a', 'hex');
const CHANNEL_VERSION = 1;
const NONCE_BYTES = 16;
const PREAMBLE_BYTES = MAGIC.length + 1 + NONCE_BYTES;
/** More garbage than a killed client can have left in QEMU and in the guest's port. */
const MOST_DISCARDED_BYTES = 16 * 2 ** 20;

/**
 * Resets the agent's end of a serial port and waits until it has answered. What arrived behind the answer is put back.
 *
 * @throws agent-unreachable when no answer comes within `timeoutMs` or the port closes; agent-protocol when the agent
 * speaks another version of the channel.
 */
export function resetPort(socket: Socket, timeoutMs: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const nonce = randomBytes(NONCE_BYTES);
    let received = Buffer.alloc(0);
    let discarded = 0;
    const finish = (error?: VmRunnerError): void => {
      clearTimeout(timer);
      socket.off('data', onData).off('close', onClose).off('error', onClose);
      socket.pause();
      if (error === undefined) resolve();
      else reject(error);
    };
    const unreachable = (reason: string): VmRunnerError => new VmRunnerError('agent-unreachable', reason);
    const timer = setTimeout(() => finish(unreachable('agent did not answer on its port')), timeoutMs);
    const onClose = (): void => finish(unreachable('port was closed before the agent answered'));
    const onData = (chunk: Buffer): void => {
      received = Buffer.concat([received, chunk]);
      const answer = findAnswer(received, nonce);
      if (answer === undefined) {
        const keep = Math.min(received.length, PREAMBLE_BYTES - 1);
        discarded += received.length - keep;
        received = received.subarray(received.length - keep);
        if (discarded > MOST_DISCARDED_BYTES) finish(unreachable('port sends something else than an answer'));
        return;
      }
      if (answer.version !== CHANNEL_VERSION) {
        finish(
          new VmRunnerError(
            'agent-protocol',
            `agent speaks version ${answer.version} of the channel, not ${CHANNEL_VERSION}`,
            {
              hint: 'The image was built by another version of vm-runner: destroy the VM and start it again.',
            },
          ),
        );
        return;
      }
      const rest = received.subarray(answer.end);
      finish();
      if (rest.length > 0) socket.unshift(rest);
    };
    socket.on('data', onData).once('close', onClose).once('error', onClose);
    socket.write(Buffer.concat([MAGIC, Buffer.of(CHANNEL_VERSION), nonce]));
  });
}

/** Where our own nonce came back, whatever stands before it. */
export function findAnswer(
  bytes: Buffer,
  nonce: Buffer,
): { readonly version: number; readonly end: number } | undefined {
  for (let at = bytes.indexOf(MAGIC); at >= 0; at = bytes.indexOf(MAGIC, at + 1)) {
    const end = at + PREAMBLE_BYTES;
    if (end > bytes.length) return undefined;
    const version = bytes[at + MAGIC.length];
    if (version !== undefined && bytes.subarray(end - NONCE_BYTES, end).equals(nonce)) return { version, end };
  }
  return undefined;
}
