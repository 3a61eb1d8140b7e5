import { readFile } from 'node:fs/promises';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

import { JobLog } from '../../src/store/job-log.js';
import { temporaryDirectory } from '../support/temporary-directory.js';

describe('the log of a job', () => {
  it('keeps the end of what is printed, in order, whoever prints it', async () => {
    const directory = await temporaryDirectory();
    const paths = { jobLog: path.join(directory, 'job.log'), jobLogBefore: path.join(directory, 'job.1.log') };
    for (const program of ['a', 'b']) {
      await using log = await JobLog.open(paths, 100);
      const lines = Array.from({ length: 30 }, (_, n) => `${program}${String(n).padStart(2, '0')} line\n`);
      await Promise.all(lines.map((line) => log.write(Buffer.from(line))));
    }
    const [before, now] = await Promise.all([readFile(paths.jobLogBefore, 'utf8'), readFile(paths.jobLog, 'utf8')]);
    const lines = `${before}${now}`.trimEnd().split('\n');
    expect(lines.length * 9).toBeGreaterThanOrEqual(100);
    expect(lines.length * 9).toBeLessThan(250);
    const from = 30 - lines.length;
    expect(lines).toEqual(lines.map((_, at) => `b${String(from + at).padStart(2, '0')} line`));
  });
});
