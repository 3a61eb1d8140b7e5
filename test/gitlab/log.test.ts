import { PassThrough } from 'node:stream';

import { describe, expect, it } from 'vitest';

import { VmRunnerError } from '../../src/core/errors.js';
import { driverLog, reportError } from '../../src/gitlab/log.js';

function written(stream: PassThrough): string {
  return (stream.read() as Buffer | null)?.toString() ?? '';
}

describe('driverLog', () => {
  it('writes plain lines, and a section that GitLab can fold', async () => {
    const stderr = new PassThrough();
    const log = driverLog(stderr);
    log.info('one');
    log.warn('two');
    // A progress that is over at once is nothing to tell.
    log.progress('1 %');
    await log.section('Building', async () => {
      log.info('inside');
      await Promise.resolve();
    });
    expect(written(stderr).replaceAll(/:\d{10}:/g, ':TIME:')).toBe(
      [
        'one',
        'WARNING: two',
        'section_start:TIME:vm_runner_1[collapsed=true]\r\x1b[0KBuilding',
        'inside',
        'section_end:TIME:vm_runner_1\r\x1b[0K',
        '',
      ].join('\n'),
    );
  });

  it('keeps what is no warning out of the log of the Runner in cleanup', () => {
    const [stderr, stdout] = [new PassThrough(), new PassThrough()];
    const log = driverLog(stderr, stdout);
    log.info('gone');
    log.warn('odd');
    expect([written(stdout), written(stderr)]).toEqual(['gone\n', 'WARNING: odd\n']);
  });
});

describe('reportError', () => {
  it('shows the evidence below the sentence', () => {
    const stderr = new PassThrough();
    const error = new VmRunnerError('vm-died', 'VM ended by itself', { subject: 'vm-1', detail: 'panic\n' });
    reportError(stderr, error, error);
    expect(written(stderr)).toBe('ERROR[vm-died]: VM ended by itself: vm-1\n  | panic\n');
  });

  it('shows where a defect happened', () => {
    const stderr = new PassThrough();
    const thrown = new TypeError('x is not a function');
    reportError(stderr, new VmRunnerError('internal', thrown.message), thrown);
    expect(written(stderr)).toContain('log.test.ts');
  });
});
