import { describe, expect, it } from 'vitest';

import { errorsIn, faultyHost, JOB, steps, SWEEP } from '../support/faults/faulty-host.js';
import type { Fault } from '../support/faults/program.js';

/** What writes; the rest of what a job does to the store only reads it. */
const WRITES = /^(mkdir|open|writeFile|sync|rename|link|truncate|utimes) /;
const ANY = /^(?!spawn)/;

/** Which codes an error may have that the system's code leads to. All of them blame the host. */
const FAULTS: readonly (readonly [string, Fault['act'], RegExp, readonly string[]])[] = [
  ['the disk is full', 'ENOSPC', WRITES, ['disk-full']],
  ['the disk fails', 'EIO', ANY, ['host-file-failed']],
  ['permission is denied', 'EACCES', ANY, ['host-file-failed']],
  ['the store is read-only', 'EROFS', WRITES, ['host-file-failed']],
  ['no more files can be opened', 'EMFILE', /^(open|readFile|writeFile|readdir) /, ['host-file-failed']],
  ['no more processes can be started', 'EAGAIN', /^spawn /, ['vm-start-failed']],
];

describe('a step of a job that fails gives its exit code or one error that blames the host', () => {
  it.each(FAULTS)('when %s (%s)', SWEEP, async (_title, act, match, codes) => {
    const { run, operations, expectNoLeak, expectNextJob } = await faultyHost();
    const all = await operations(JOB, match);
    expect(all.length).toBeGreaterThan(0);
    for (const at of steps(all.length, 10)) {
      const about = `${act} at ${at}: ${all[at - 1] ?? ''}`;
      const { exitCode, stdout, stderr } = await run(JOB, { act, match, at });
      // Some steps are not needed for the job to work.
      if (exitCode === 3) expect(stdout, about).toBe('out\n');
      else {
        expect({ exitCode, stdout }, `${about}\n${stderr}`).toEqual({ exitCode: 125, stdout: '' });
        expect(errorsIn(stderr), `${about}\n${stderr}`).toHaveLength(1);
        expect(codes, `${about}\n${stderr}`).toContain(errorsIn(stderr)[0]);
      }
      await expectNoLeak(about);
    }
    await expectNextJob();
  });

  it('whatever fails from some step on, and works again for the next job', SWEEP, async () => {
    const { run, expectNoLeak, expectNextJob } = await faultyHost();
    for (const match of [/ home\/vms\//, / home\/locks\//, / home\/version/, / home\/logs/, / home\/tmp/]) {
      const { exitCode, stderr } = await run(JOB, { act: 'EIO', match, at: 'all' });
      if (exitCode !== 3) {
        expect(exitCode, stderr).toBe(125);
        expect(errorsIn(stderr), stderr).toEqual(['host-file-failed']);
      }
      await expectNoLeak(match.source);
      await expectNextJob(match.source);
    }
  });
});
