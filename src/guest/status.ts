import { status, type ServiceError } from '@grpc/grpc-js';

import { VmRunnerError, type ErrorCode } from '../core/errors.js';
import { printable } from '../core/printable.js';

/**
 * What the words of the trailer `vm-runner-reason` (proto: top of agent.proto) mean here. A word that is not listed is a
 * refusal: what was asked for cannot be done there, and whoever wrote the job can change it.
 */
const CODE_OF_REASON: Readonly<Record<string, ErrorCode>> = {
  'command-not-found': 'command-not-found',
  'not-executable': 'command-not-executable',
  'no-such-file': 'guest-file-missing',
  'is-a-directory': 'guest-is-directory',
  'disk-full': 'guest-disk-full',
  'no-root': 'vm-start-failed',
  'no-image': 'vm-start-failed',
  // The image lacks it: another one, or a helper beside it, has one.
  'no-shell': 'command-not-found',
  // The job changed it under our hands; nothing was damaged on the way.
  'file-changed': 'guest-request-refused',
  // A file that cannot be read there: the agent itself is well.
  'io-error': 'guest-request-refused',
  // What only we write: that it was refused says that the two sides do not understand each other.
  'already-entered': 'agent-protocol',
  'bad-archive': 'agent-protocol',
  'bad-entropy': 'agent-protocol',
  'bad-hostname': 'agent-protocol',
  'bad-machine-id': 'agent-protocol',
  'bad-message': 'agent-protocol',
  'bad-network': 'agent-protocol',
  'bad-root': 'agent-protocol',
  'bad-slot': 'agent-protocol',
  checksum: 'agent-protocol',
  compressed: 'agent-protocol',
  'message-too-large': 'agent-protocol',
  'no-header': 'agent-protocol',
  'no-request': 'agent-protocol',
  'no-start': 'agent-protocol',
  'second-start': 'agent-protocol',
  'short-body': 'agent-protocol',
  'torn-message': 'agent-protocol',
  'unsupported-entry': 'agent-protocol',
  // The agent itself is in trouble.
  'setup-failed': 'agent-protocol',
  'worker-failed': 'agent-protocol',
  'client-gone': 'agent-unreachable',
  'slow-client': 'agent-unreachable',
};

const LONGEST_GUEST_TEXT = 500;

/**
 * A failed call to the agent as ours: the one place where gRPC statuses become errors with a blame.
 * @param doing what was tried, for the sentence: "copy /etc/passwd out of the guest"
 */
export function guestError(doing: string, cause: unknown): VmRunnerError {
  if (cause instanceof VmRunnerError) return cause;
  if (!isServiceError(cause)) {
    const text = cause instanceof Error ? cause.message : String(cause);
    return new VmRunnerError('agent-unreachable', `cannot ${doing}`, { hint: `The connection said: ${text}.`, cause });
  }
  const text = guestText(cause.details);
  const [reason] = cause.metadata.get('vm-runner-reason');
  const code = typeof reason === 'string' ? CODE_OF_REASON[reason] : undefined;
  if (code === 'agent-protocol' || code === 'agent-unreachable' || code === 'guest-request-refused') {
    return new VmRunnerError(code, `cannot ${doing}`, { hint: endSentence(text), cause });
  }
  if (code !== undefined) return new VmRunnerError(code, text, { cause });
  switch (cause.code) {
    case status.UNAVAILABLE:
    case status.CANCELLED:
    case status.DEADLINE_EXCEEDED:
    case status.INTERNAL:
      return new VmRunnerError('agent-unreachable', `lost the agent while trying to ${doing}`, {
        hint: `The connection said: ${text}.`,
        cause,
      });
    case status.UNIMPLEMENTED:
      return new VmRunnerError('agent-protocol', `agent cannot ${doing}`, {
        hint: 'The guest runs another version of the agent: rebuild its image.',
        cause,
      });
    case status.DATA_LOSS:
      return new VmRunnerError('agent-protocol', `bytes were damaged on the way while trying to ${doing}`, {
        hint: `The agent said: ${text}.`,
        cause,
      });
    default:
      return new VmRunnerError('guest-request-refused', `cannot ${doing}`, { hint: endSentence(text), cause });
  }
}

/** The gRPC status behind an error of ours; `undefined` when there is none. */
export function statusOf(error: unknown): status | undefined {
  const cause = error instanceof VmRunnerError ? error.cause : error;
  return isServiceError(cause) ? cause.code : undefined;
}

export function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && 'code' in error && 'details' in error && 'metadata' in error;
}

/** Text from a guest may hold anything: kept to one line, and short. */
export function guestText(text: string): string {
  const line = printable(text).replaceAll(/\s+/g, ' ').trim();
  return line.length > LONGEST_GUEST_TEXT ? `${line.slice(0, LONGEST_GUEST_TEXT)}…` : line;
}

function endSentence(text: string): string {
  return /[.!?]$/.test(text) ? text : `${text}.`;
}
