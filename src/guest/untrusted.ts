import { VmRunnerError } from '../core/errors.js';
import { printable } from '../core/printable.js';

const LONGEST_SUBJECT = 200;

/** An error for what an honest guest never sends. */
export function untrusted(what: string, subject: string): VmRunnerError {
  return new VmRunnerError('guest-untrusted-data', `guest sent ${what}`, {
    subject: JSON.stringify(printable(subject.slice(0, LONGEST_SUBJECT))),
    hint: 'Nothing after it was taken. Do not trust what this guest sent.',
  });
}
