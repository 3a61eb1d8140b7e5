import { existsSync } from 'node:fs';
import path from 'node:path';

import { describe, expect, it, onTestFinished, vi } from 'vitest';

import { delay } from '../../src/core/deadline.js';
import { findByArgument } from '../../src/process/end.js';
import { runProgram, tryProgram } from '../../src/process/run.js';
import { SYSTEM_PATH } from '../../src/process/system-path.js';
import { LinuxProcessTable } from '../../src/process/table.js';
import { writeProgram } from '../images/support.js';
import { temporaryDirectory } from '../support/temporary-directory.js';

const PRINT_ENVIRONMENT = 'console.log(JSON.stringify(process.env))';

describe('runProgram', () => {
  it('gives a program nothing of our environment', async () => {
    vi.stubEnv('INPUT_TOKEN', 'secret');
    onTestFinished(() => void vi.unstubAllEnvs());
    const program = await writeProgram(await temporaryDirectory(), 'show', PRINT_ENVIRONMENT);
    const { stdout } = await runProgram([program]);
    expect(JSON.parse(stdout)).toEqual({ PATH: SYSTEM_PATH, LC_ALL: 'C.UTF-8' });
  });

  it('gives a program exactly the environment that the caller names, and finds it there', async () => {
    const directory = await temporaryDirectory();
    await writeProgram(directory, 'show', PRINT_ENVIRONMENT);
    const env = { PATH: directory, TMPDIR: '/tmp' };
    expect(JSON.parse((await runProgram(['show'], { env })).stdout)).toEqual(env);
    await expect(runProgram(['show'])).rejects.toMatchObject({ code: 'host-tool-missing', subject: 'show' });
  });

  it('ends all that it started when we leave without waiting, and hears of that only while something runs', async () => {
    const marker = path.join(await temporaryDirectory(), 'marker');
    const before = process.listeners('exit');
    const ignores = `trap '' TERM; : > "$1"; (sleep 60; : "$1"); : "$1"`;
    const running = Promise.allSettled([1, 2].map(() => tryProgram(['sh', '-c', ignores, 'sh', marker])));
    while (!existsSync(marker)) await delay(5);
    const added = process.listeners('exit').filter((listener) => !before.includes(listener));
    expect(added).toHaveLength(1);
    const table = new LinuxProcessTable();
    expect(findByArgument(table, marker).length).toBeGreaterThanOrEqual(2);

    // As Node calls it in process.exit.
    added[0]?.call(process, 0);
    expect((await running).map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    expect(findByArgument(table, marker)).toEqual([]);
    expect(process.listeners('exit')).toEqual(before);
  });

  it('hears of our end no more after a program that was not there', async () => {
    const before = process.listeners('exit');
    await expect(tryProgram(['/nowhere/program'])).rejects.toMatchObject({ code: 'host-tool-missing' });
    expect(process.listeners('exit')).toEqual(before);
  });

  it('ends the whole group of a program whose time is over', async () => {
    const marker = path.join(await temporaryDirectory(), 'marker');
    const running = tryProgram(['sh', '-c', '(sleep 60; : "$1") & wait', 'sh', marker], { timeoutMs: 300 });
    await expect(running).rejects.toMatchObject({ code: 'host-tool-failed', reason: 'sh did not end within 0 s' });
    expect(findByArgument(new LinuxProcessTable(), marker)).toEqual([]);
  });
});
