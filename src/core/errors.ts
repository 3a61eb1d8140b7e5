import { ERROR_KINDS, type Blame, type ErrorCode } from './error-codes.js';

export type { Blame, ErrorCode };

export interface VmRunnerErrorOptions {
  /** What it is about: a path, a flag, a VM name. Shown after the reason. */
  readonly subject?: string;
  /** What the reader can do about it: one sentence. */
  readonly hint?: string;
  /** Longer evidence, such as the last lines of a log. Shown last, indented. */
  readonly detail?: string;
  readonly cause?: unknown;
}

/**
 * The one error class of vm-runner. Its message reads: reason, subject, what to do.
 *
 * @example new VmRunnerError('invalid-input', 'not a size', { subject: '--memory=many', hint: 'Give a number …' })
 * reads "not a size: --memory=many. Give a number …"
 */
export class VmRunnerError extends Error {
  override readonly name = 'VmRunnerError';
  readonly code: ErrorCode;
  readonly blame: Blame;
  readonly reason: string;
  readonly subject: string | undefined;
  readonly hint: string | undefined;
  readonly detail: string | undefined;

  constructor(code: ErrorCode, reason: string, options: VmRunnerErrorOptions = {}) {
    const { subject, hint, detail, cause } = options;
    const head = subject === undefined ? reason : `${reason}: ${subject}`;
    super(hint === undefined ? head : `${endSentence(head)} ${hint}`, cause === undefined ? undefined : { cause });
    this.code = code;
    this.blame = ERROR_KINDS[code].blame;
    this.reason = reason;
    this.subject = subject;
    this.hint = hint;
    this.detail = detail;
  }
}

function endSentence(text: string): string {
  return /[.!?]$/.test(text) ? text : `${text}.`;
}

/** Anything thrown, as ours. What is not ours already is a bug of vm-runner: foreign errors are converted at a boundary. */
export function toVmRunnerError(error: unknown): VmRunnerError {
  if (error instanceof VmRunnerError) return error;
  const text = error instanceof Error ? error.message : String(error);
  return new VmRunnerError('internal', text, {
    hint: 'This is a defect of vm-runner: please report it.',
    cause: error,
  });
}

/**
 * The text for a person: `error[CODE]: message`, then the detail indented below it.
 * @param word what the front end calls an error; default `error`
 */
export function renderError({ code, message, detail }: VmRunnerError, word = 'error'): string {
  const head = `${word}[${code}]: ${message}`;
  if (detail === undefined || detail.trim() === '') return head;
  return `${head}\n${detail.trimEnd().replaceAll(/^/gm, '  | ')}`;
}

/** Several mistakes found in one pass, reported as one error: with their code when all have the same. */
export function combineInputErrors(mistakes: readonly VmRunnerError[]): VmRunnerError | undefined {
  const [first, ...others] = mistakes;
  if (first === undefined) return undefined;
  if (others.length === 0) return first;
  const list = mistakes.map((mistake) => `- ${mistake.message}`).join('\n');
  const code = others.every((other) => other.code === first.code) ? first.code : 'invalid-input';
  return new VmRunnerError(code, `${mistakes.length} mistakes in what was given:\n${list}`);
}

/** The system's code of a failed call (`ENOENT`), when the error has one. */
export function systemCode(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

/** A failed file system call as ours: where everyone must go who touches files on the host. */
export function fileError(action: string, path: string, cause: unknown): VmRunnerError {
  const code = systemCode(cause);
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new VmRunnerError('disk-full', `no space left on the disk to ${action}`, {
      subject: path,
      hint: 'Free some space, or point VM_RUNNER_HOME to a larger disk.',
      cause,
    });
  }
  if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS') {
    return new VmRunnerError('host-file-failed', `no permission to ${action}`, {
      subject: path,
      hint: 'Check the owner and mode of that path.',
      cause,
    });
  }
  const text = cause instanceof Error ? cause.message : String(cause);
  return new VmRunnerError('host-file-failed', `cannot ${action}`, {
    subject: path,
    hint: `The system said: ${text}.`,
    cause,
  });
}
