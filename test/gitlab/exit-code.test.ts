import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

import { VmRunnerError, type ErrorCode } from '../../src/core/errors.js';
import { finish, type Outcome } from '../../src/gitlab/exit-code.js';
import { keptLog } from '../support/fake-host.js';
import { temporaryDirectory } from '../support/temporary-directory.js';

async function finished(outcome: Outcome, before?: string) {
  const directory = await temporaryDirectory();
  const codeFile = path.join(directory, 'code');
  if (before !== undefined) await writeFile(codeFile, before);
  const exitCode = await finish(outcome, { buildFailure: 11, systemFailure: 22, codeFile }, keptLog());
  const [name] = await readdir(directory);
  return { exitCode, file: name === undefined ? undefined : await readFile(path.join(directory, name), 'utf8') };
}

function error(code: ErrorCode): Outcome {
  return { kind: 'error', error: new VmRunnerError(code, 'something') };
}

describe('finish', () => {
  it.each([
    ['a stage that is done', { kind: 'done' }, 0, undefined],
    ['a script that passed', { kind: 'script-ended', status: { code: 0, signal: 0 } }, 0, undefined],
    ['a script that failed', { kind: 'script-ended', status: { code: 42, signal: 0 } }, 11, '42\n'],
    ['a script that a signal ended', { kind: 'script-ended', status: { code: 0, signal: 9 } }, 11, '137\n'],
    ["a mistake of the job's author", error('image-unavailable'), 11, '1\n'],
    ['a script that cannot be run', error('command-not-found'), 11, '1\n'],
    ['a mistake in config.toml', error('invalid-input'), 22, undefined],
    ['a VM that is not there', error('no-such-vm'), 22, undefined],
    ['a cancel', error('cancelled'), 22, undefined],
    ['a VM that died', error('vm-died'), 22, undefined],
    ['a defect', error('internal'), 22, undefined],
  ] as const)('gives %s its exit code and the file what belongs there', async (_title, outcome, exitCode, file) => {
    expect(await finished(outcome)).toEqual({ exitCode, file });
  });

  it('replaces the code that an earlier call of the job left', async () => {
    expect(await finished({ kind: 'script-ended', status: { code: 1, signal: 0 } }, '77\n')).toEqual({
      exitCode: 11,
      file: '1\n',
    });
  });

  it('works with a Runner that knows no such file', async () => {
    const codes = { buildFailure: 1, systemFailure: 2, codeFile: undefined };
    expect(await finish({ kind: 'script-ended', status: { code: 42, signal: 0 } }, codes, keptLog())).toBe(1);
  });

  it('rather fails as the system than with a wrong code when the file cannot be written', async () => {
    const codeFile = path.join(await temporaryDirectory(), 'code');
    await mkdir(codeFile);
    const log = keptLog();
    const codes = { buildFailure: 1, systemFailure: 2, codeFile };
    expect(await finish({ kind: 'script-ended', status: { code: 42, signal: 0 } }, codes, log)).toBe(2);
    expect(log.lines[0]).toMatch(/^warn: exit code 42 of the job is lost: cannot write a file: /);
  });
});
