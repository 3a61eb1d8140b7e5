import { writeFile } from 'node:fs/promises';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

import { faultyHost, steps, SWEEP } from '../support/faults/faulty-host.js';

/** All that a job with files does on the host: its preparation, its run, its files, its end. */
async function wholeJob() {
  const host = await faultyHost();
  await writeFile(path.join(host.directory, 'in'), 'in\n');
  const guest = path.join(host.directory, 'guest');
  const args = [
    'run',
    '-q',
    '--provider',
    'fake',
    '--name',
    'vm-job',
    '--put',
    `${path.join(host.directory, 'in')}:${guest}/in`,
  ];
  const get = ['--get', `${guest}/**:${path.join(host.directory, 'back')}`];
  return { ...host, job: [...args, ...get, '--', 'sh', '-c', 'echo out; exit 3'] };
}

describe('kill -9 of the program leaves nothing and harms no later job', () => {
  it.each(['kill', 'torn'] as const)('before each step of a job, and in the middle of it (%s)', SWEEP, async (act) => {
    const { run, operations, job, expectNoLeak, expectNextJob } = await wholeJob();
    // Once before, since the first job of a store does more than the others.
    await run(job);
    const all = await operations(job);
    expect(all.length).toBeGreaterThan(40);
    for (const at of steps(all.length, 16)) {
      const about = `${act} at ${at}: ${all[at - 1] ?? ''}`;
      const { killed, stderr } = await run(job, { act, at });
      expect(killed, `${about}\n${stderr}`).toBe(true);
      await expectNoLeak(about);
    }
    await expectNextJob();
    await expectNoLeak();
  });
});
