import { describe, expect, it } from 'vitest';

import { combineInputErrors, fileError, renderError, toVmRunnerError, VmRunnerError } from '../../src/core/errors.js';

describe('VmRunnerError', () => {
  it('says the reason first, then the subject, then what to do', () => {
    const error = new VmRunnerError('invalid-input', 'not a memory size', {
      subject: '--memory=many',
      hint: 'Give MiB, as in 512.',
    });
    expect(error.message).toBe('not a memory size: --memory=many. Give MiB, as in 512.');
    expect(error.blame).toBe('user');
  });

  it('takes the blame from the code', () => {
    expect(new VmRunnerError('vm-died', 'VM ended by itself').blame).toBe('infra');
    expect(new VmRunnerError('internal', 'oops').blame).toBe('bug');
  });

  it('shows its detail below the message', () => {
    const error = new VmRunnerError('vm-died', 'VM ended by itself', { detail: 'one\ntwo\n' });
    expect(renderError(error)).toBe('error[vm-died]: VM ended by itself\n  | one\n  | two');
  });
});

describe('foreign errors', () => {
  it('are defects when nobody converted them', () => {
    const cause = new TypeError('x is not a function');
    const error = toVmRunnerError(cause);
    expect(error).toMatchObject({ code: 'internal', blame: 'bug', cause });
    expect(error.message).toBe('x is not a function. This is a defect of vm-runner: please report it.');
  });

  it('of the file system tell a full disk from a missing permission', () => {
    const failure = (code: string): Error => Object.assign(new Error(`${code}: it failed`), { code });
    expect(fileError('write a file', '/x', failure('ENOSPC'))).toMatchObject({
      code: 'disk-full',
      message:
        'no space left on the disk to write a file: /x. Free some space, or point VM_RUNNER_HOME to a larger disk.',
    });
    expect(fileError('write a file', '/x', failure('EACCES')).message).toBe(
      'no permission to write a file: /x. Check the owner and mode of that path.',
    );
    expect(fileError('write a file', '/x', failure('EIO')).message).toBe(
      'cannot write a file: /x. The system said: EIO: it failed.',
    );
  });
});

describe('combineInputErrors', () => {
  it('reports all mistakes in one error', () => {
    const mistakes = ['a', 'b'].map((subject) => new VmRunnerError('invalid-input', 'unknown flag', { subject }));
    expect(combineInputErrors(mistakes)?.message).toBe(
      '2 mistakes in what was given:\n- unknown flag: a\n- unknown flag: b',
    );
  });

  it('leaves a single one as it is, and none none', () => {
    const only = new VmRunnerError('invalid-input', 'unknown flag');
    expect(combineInputErrors([only])).toBe(only);
    expect(combineInputErrors([])).toBeUndefined();
  });
});
