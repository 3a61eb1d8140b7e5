import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';

import { expect, it, describe } from 'vitest';

import type { VmRecord } from '../../src/store/record.js';
import { faultyHost, JOB, steps } from '../support/faults/faulty-host.js';
import { processesOf } from '../support/faults/leftovers.js';
import { startProgram } from '../support/faults/program.js';

const POOL = ['pool', '--provider', 'fake'];
const LATER = `clock:${8 * 86_400_000}` as const;

async function hostWithPool() {
  const host = await faultyHost();
  const pool = startProgram(POOL, { directory: host.directory });
  const vms = async (): Promise<VmRecord[]> => {
    const names = await readdir(path.join(host.home, 'vms')).catch(() => []);
    const texts = names.map((name) => readFile(path.join(host.home, 'vms', name, 'vm.json'), 'utf8').catch(() => '{}'));
    return (await Promise.all(texts)).map((text) => JSON.parse(text) as VmRecord);
  };
  /** Until one VM waits, and no other is there. */
  const filled = (): Promise<void> =>
    expect.poll(vms, { timeout: 20_000 }).toEqual([expect.objectContaining({ state: 'pooled' })]);
  const end = async (): Promise<void> => {
    pool.child.kill('SIGTERM');
    expect(await pool.result).toMatchObject({ exitCode: 143 });
  };
  return { ...host, pool, vms, filled, end };
}

describe('kill -9 beside a pool leaves every VM to one owner or to the reaper', () => {
  it.each(['kill', 'torn'] as const)(
    'of a job, before each step in which it takes a VM (%s)',
    { timeout: 240_000 },
    async (act) => {
      const { run, operations, filled, vms, home, end, expectNoLeak, expectNextJob } = await hostWithPool();
      await filled();
      // Each name once: what happens more often is no other step.
      const match = / home\/(vms|locks)\/(pool-|vm-job)/;
      const all = await operations(JOB, match);
      expect(all).toContainEqual('rename home/vms/vm-job');
      for (const at of steps(all.length, 24)) {
        const about = `${act} at ${at}: ${all[at - 1] ?? ''}`;
        await filled();
        const { killed, stderr } = await run(JOB, { act, at, match });
        expect(killed, `${about}\n${stderr}`).toBe(true);
        const { exitCode, stderr: told } = await run(['gc'], { act: LATER });
        expect({ exitCode, told: told.replaceAll(/^vm-runner: (removed|Logs of) .*\n/gm, '') }, about).toEqual({
          exitCode: 0,
          told: '',
        });
        await filled();
        // One agent, which is the one that waits.
        const [waiting] = await vms();
        const agents = processesOf(home).filter((line) => line.includes(' serve --listen '));
        expect(
          agents.map((line) => Number.parseInt(line, 10)),
          about,
        ).toEqual([waiting?.vmm?.pid]);
      }
      await expectNextJob();
      await end();
      await expectNoLeak();
    },
  );

  it('of the pool, at steps of what it does all the time', { timeout: 240_000 }, async () => {
    const { run, expectNoLeak, expectNextJob } = await faultyHost();
    for (let at = 3; at < 90; at += 6) {
      const { killed, stderr } = await run(POOL, { act: 'kill', at });
      expect(killed, stderr).toBe(true);
      await expectNoLeak(`at ${at}`);
    }
    await expectNextJob();
    await expectNoLeak();
  });

  it('of the pool while a job has a VM of it harms neither', async () => {
    const { pool, filled, directory, home, run, expectNoLeak } = await hostWithPool();
    await filled();
    const job = startProgram(['run', '-q', '--provider', 'fake', '--', 'sh', '-c', 'echo out; exec sleep 3'], {
      directory,
    });
    await job.said('out\n');
    pool.child.kill('SIGKILL');
    await once(pool.child, 'close');
    expect((await run(['gc'])).exitCode).toBe(0);
    expect(await job.result).toMatchObject({ exitCode: 0 });
    expect(await readdir(path.join(home, 'vms'))).toEqual([]);
    await expectNoLeak();
  });
});
