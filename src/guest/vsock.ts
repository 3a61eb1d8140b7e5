import type { Socket } from 'node:net';

import { VmRunnerError } from '../core/errors.js';
import { printable } from '../core/printable.js';

/** `OK ` and a number of 32 bits; more is no answer. */
const LONGEST_ANSWER_BYTES = 64;

/**
 * Asks for a vsock port of the guest on a socket that leads to all of them, as Firecracker, Cloud Hypervisor and
 * vhost-device-vsock have it. What arrived behind the answer is put back.
 *
 * @throws agent-unreachable when nobody listens there, no answer comes within `timeoutMs`, or it is another one.
 */
export function openVsockPort(socket: Socket, port: number, timeoutMs: number): Promise<void> {
  return new Promise((resolve, reject) => {
    let received = Buffer.alloc(0);
    const finish = (error?: VmRunnerError): void => {
      clearTimeout(timer);
      socket.off('data', onData).off('close', onClose).off('error', onClose);
      socket.pause();
      if (error === undefined) resolve();
      else reject(error);
    };
    const timer = setTimeout(
      () => finish(unreachable(port, 'VMM did not answer', 'The VM is starting still, or hangs.')),
      timeoutMs,
    );
    const onClose = (): void =>
      finish(unreachable(port, 'nobody listens in the guest', 'The agent is not up yet, or serves another port.'));
    const onData = (chunk: Buffer): void => {
      received = Buffer.concat([received, chunk]);
      const end = received.indexOf('\n');
      if (end === -1 && received.length <= LONGEST_ANSWER_BYTES) return;
      const line = received.toString('latin1', 0, end === -1 ? LONGEST_ANSWER_BYTES : end);
      if (end === -1 || end > LONGEST_ANSWER_BYTES || !/^OK \d{1,10}\r?$/.test(line)) {
        const shown = JSON.stringify(printable(line).slice(0, LONGEST_ANSWER_BYTES));
        finish(unreachable(port, 'socket does not lead to vsock ports', `It answered ${shown}: check its path.`));
        return;
      }
      const rest = received.subarray(end + 1);
      finish();
      if (rest.length > 0) socket.unshift(rest);
    };
    socket.on('data', onData).once('close', onClose).once('error', onClose);
    socket.write(`CONNECT ${port}\n`);
  });
}

function unreachable(port: number, reason: string, hint: string): VmRunnerError {
  return new VmRunnerError('agent-unreachable', reason, { subject: `vsock port ${port}`, hint });
}
