import { expect, it } from 'vitest';

import { exitCodeOf, reportError, reportExit } from '../../src/action/failure.js';
import { bootMs } from '../../src/action/ending.js';
import { VmRunnerError, type ErrorCode } from '../../src/core/errors.js';
import { recordedRunner } from './recorded-runner.js';

it.each<[ErrorCode, string]>([
  ['invalid-input', 'vm-runner: the job asked for something that does not work [invalid-input]'],
  ['boot-timeout', 'vm-runner: the host of this runner failed [boot-timeout]'],
  ['internal', 'vm-runner: a defect of vm-runner [internal]'],
  ['cancelled', 'vm-runner: cancelled [cancelled]'],
])('says in the title whose turn it is: %s', (code, title) => {
  const runner = recordedRunner();
  reportError(runner, new VmRunnerError(code, 'what happened', { subject: 'what', hint: 'Do this.' }));
  expect(runner.said).toEqual([`error [${title}] what happened: what. Do this.`]);
});

it('puts evidence into the log, where it can command nothing', () => {
  const runner = recordedRunner();
  reportError(runner, new VmRunnerError('vm-died', 'VM ended', { detail: '::set-output name=x::1\r::error::y' }));
  expect(runner.said).toEqual([
    'group What is known about the failure',
    'error[vm-died]: VM ended\n  | ::set-output name=x::1\n  | ::error::y',
    'endgroup',
    'error [vm-runner: the host of this runner failed [vm-died]] VM ended',
  ]);
});

it('tells how a script ended', () => {
  const runner = recordedRunner();
  reportExit(runner, { code: 7, signal: 0 });
  reportExit(runner, { code: 0, signal: 9 });
  expect(runner.said).toEqual([
    'error [vm-runner: the script failed] The script in the VM ended with exit code 7.',
    'error [vm-runner: the script failed] The script in the VM was ended by signal 9 (exit code 137).',
  ]);
});

it('gives errors of the program itself the exit codes of shells', () => {
  const codeOf = (code: ErrorCode): number | undefined => exitCodeOf(new VmRunnerError(code, 'x'));
  expect([
    codeOf('timed-out'),
    codeOf('command-not-found'),
    codeOf('command-not-executable'),
    codeOf('vm-died'),
  ]).toEqual([124, 127, 126, undefined]);
});

it('counts the boot from the making of the VM to the moment when it is ready', () => {
  const span = (name: string, startMs: number, endMs: number) => ({ name, startMs, endMs });
  expect(
    bootMs([span('image', 0, 900), span('create', 900, 950), span('boot', 950, 2000), span('resume', 2000, 2100.4)]),
  ).toBe(1200);
});
