import { connect } from 'node:net';

import { systemCode, VmRunnerError } from '../core/errors.js';

/** A socket that nobody serves is closed at once; one that is still open after this is served by somebody. */
const CLOSED_AT_ONCE_MS = 500;

/**
 * Why nobody could be reached through a unix socket: a last look, for the sentence.
 * @param shown the path as the reader knows it
 */
export function diagnoseSocket(path: string, shown: string): Promise<VmRunnerError | undefined> {
  return new Promise((resolve) => {
    const socket = connect(path);
    const finish = (reason?: string, hint?: string): void => {
      clearTimeout(timer);
      socket.destroy();
      if (reason === undefined || hint === undefined) resolve(undefined);
      else resolve(new VmRunnerError('agent-unreachable', reason, { subject: shown, hint }));
    };
    const timer = setTimeout(
      () =>
        finish('socket is open, but no agent answers on it', 'Something else may listen there, or the guest hangs.'),
      CLOSED_AT_ONCE_MS,
    );
    socket.once('end', () =>
      finish('socket closes every connection at once', 'The agent in the guest is not up: it may be missing there.'),
    );
    socket.once('error', (error) => {
      switch (systemCode(error)) {
        case 'ENOENT':
          finish('socket is not there', 'The VM does not run, or not yet.');
          break;
        case 'ECONNREFUSED':
          finish('socket is stale', 'Whoever listened there is gone: start the VM again.');
          break;
        case 'EACCES':
        case 'EPERM':
          finish('no permission to connect to the socket', 'Run vm-runner as the user that started the VM.');
          break;
        case 'ECONNRESET':
        case 'EPIPE':
          finish(
            'socket closes every connection at once',
            'The agent in the guest is not up: it may be missing there.',
          );
          break;
        default:
          finish('cannot connect to the socket', `The system said: ${error.message}.`);
      }
    });
    // Bytes are of no interest, but without reading there is no end.
    socket.resume();
  });
}
