import { status } from '@grpc/grpc-js';

import { VmRunnerError, type ErrorCode } from '../../core/errors.js';
import { guestError, guestText, isServiceError } from '../status.js';

/** What Tart's agent says when a program cannot be started: it has one status for everything, and the text of Go's os/exec. */
const CODE_OF_TEXT: readonly (readonly [RegExp, ErrorCode])[] = [
  [/^chdir |: chdir /, 'guest-request-refused'],
  [/executable file not found/, 'command-not-found'],
  [/exec .*: no such file or directory/, 'command-not-found'],
  [/permission denied|exec format error|is a directory/, 'command-not-executable'],
];

/** A failed call to Tart's agent as ours. */
export function tartError(doing: string, cause: unknown): VmRunnerError {
  if (!isServiceError(cause) || cause.code !== status.UNKNOWN) return guestError(doing, cause);
  const text = guestText(cause.details);
  const code = CODE_OF_TEXT.find(([pattern]) => pattern.test(text))?.[1] ?? 'guest-request-refused';
  return new VmRunnerError(code, `cannot ${doing}`, { hint: `The agent said: ${text}.`, cause });
}

/** What Tart's agent has no way to do. */
export function beyondTart(what: string): VmRunnerError {
  return new VmRunnerError('agent-protocol', `Tart's guest agent cannot ${what}`, {
    hint: "Install vm-runner's own agent, vm-agent, in the image of the VM.",
  });
}
