import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFile } from 'node:fs/promises';
import path from 'node:path';

import { expect, it, onTestFinished } from 'vitest';

import { findRunner } from '../../src/gitlab/owner.js';
import { LinuxProcessTable } from '../../src/process/table.js';
import { temporaryDirectory } from '../support/temporary-directory.js';

const processes = new LinuxProcessTable();

/** A shell of that name which starts two shells below each other; the innermost tells its pid and waits. */
async function nested(name: string): Promise<{ outermost: number; innermost: number }> {
  const program = path.join(await temporaryDirectory(), name);
  await copyFile('/bin/sh', program);
  const child = spawn(program, ['-c', 'sh -c \'sh -c "echo \\$\\$; read line"; :\'; :'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  onTestFinished(async () => {
    child.stdin.end();
    await once(child, 'close');
  });
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  return { outermost: child.pid ?? 0, innermost: Number(line.toString()) };
}

it('finds the Runner above a wrapper', async () => {
  const { outermost, innermost } = await nested('gitlab-runner');
  expect(findRunner(processes, innermost)).toEqual(processes.identify(outermost));
});

it('takes the parent where no process has the name of the Runner', async () => {
  const { innermost } = await nested('another-runner');
  expect(findRunner(processes, innermost)).toEqual(processes.identify(innermost));
});
