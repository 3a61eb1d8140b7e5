import { describe, expect, it } from 'vitest';

import {
  claimsSuccess,
  findVmName,
  parseExitCodes,
  requireJobResponseFile,
  requireVmName,
} from '../../src/gitlab/env.js';

describe('parseExitCodes', () => {
  it("takes the Runner's", () => {
    const env = { BUILD_FAILURE_EXIT_CODE: '3', SYSTEM_FAILURE_EXIT_CODE: '4', BUILD_EXIT_CODE_FILE: '/t/code' };
    expect(parseExitCodes(env)).toEqual({ buildFailure: 3, systemFailure: 4, codeFile: '/t/code' });
  });

  it('has those of every Runner for a call by hand', () => {
    expect(parseExitCodes({})).toEqual({ buildFailure: 1, systemFailure: 2, codeFile: undefined });
  });

  it('refuses what is no failure, all at once', () => {
    expect(() => parseExitCodes({ BUILD_FAILURE_EXIT_CODE: '0', SYSTEM_FAILURE_EXIT_CODE: '300' })).toThrow(
      /^2 mistakes .*\n- not an exit code of a failure: BUILD_FAILURE_EXIT_CODE=0\..*\n- .*SYSTEM_FAILURE_EXIT_CODE=300\./,
    );
    expect(() => parseExitCodes({ BUILD_FAILURE_EXIT_CODE: '2' })).toThrow('both failures have the exit code 2');
  });
});

describe('the VM of the job', () => {
  it('is the one that config named', () => {
    expect(requireVmName({ VM_RUNNER_VM: 'vm-0123456789' })).toBe('vm-0123456789');
  });

  it('may be missing only where the caller can go on', () => {
    expect(findVmName({})).toBeUndefined();
    expect(() => requireVmName({ VM_RUNNER_VM: '' })).toThrow('no VM was named for this job: VM_RUNNER_VM.');
  });

  it.each(['../etc', 'a/b', 'A', '-x', 'x'.repeat(41)])('is never %s', (name) => {
    expect(() => findVmName({ VM_RUNNER_VM: name })).toThrow(`not a name of a VM: VM_RUNNER_VM=${name}.`);
  });

  it('cannot be named by a variable of the job', () => {
    expect(findVmName({ CUSTOM_ENV_VM_RUNNER_VM: 'vm-somebody' })).toBeUndefined();
  });
});

it('needs a Runner that writes the job down', () => {
  expect(() => requireJobResponseFile({})).toThrow(
    'no file with the job: JOB_RESPONSE_FILE. This program is started by GitLab Runner',
  );
});

it.each([
  [{ CUSTOM_ENV_CI_JOB_STATUS: 'success' }, true],
  [{ CUSTOM_ENV_CI_JOB_STATUS: 'running' }, false],
  [{}, false],
])('with %j the success of the job is %s', (env, success) => {
  expect(claimsSuccess(env)).toBe(success);
});
