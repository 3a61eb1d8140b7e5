import { describe, expect, inject, it } from 'vitest';

import { homeWithImages, qemuProcesses, WITHOUT_TEMPLATES } from '../support/e2e.js';
import { dyingQemu, MOMENTS, RUNS, type Moment } from '../support/faults/dying-qemu.js';
import { errorsIn, steps } from '../support/faults/faulty-host.js';
import { leftovers } from '../support/faults/leftovers.js';
import { runProgram, type Fault, type ProgramResult } from '../support/faults/program.js';

const JOB = ['run', '--network', 'none', '--memory', '512M', '--name', 'vm-job', '--', 'sh', '-c', 'echo out; exit 3'];
const LATER: Fault = { act: `clock:${8 * 86_400_000}` };
const BOOTS = 'VM boots, since it cannot be cloned: ';
const IS_CLONE = / is ready after .* clone /;
const tried = steps(MOMENTS.length, 2).flatMap((step) => MOMENTS[step - 1] ?? []);

/** A store without templates, and a QEMU that dies. */
async function dyingHost(moment: Moment) {
  const { directory, home } = await homeWithImages(inject('sharedHome'), WITHOUT_TEMPLATES);
  const { program, ...qemu } = await dyingQemu(directory, `${home}/vms/vm-job`, moment);
  const run = (args: readonly string[] = JOB, fault?: Fault): Promise<ProgramResult> =>
    runProgram(args, { directory, fault, env: { VM_RUNNER_QEMU: program } });
  const expectClone = async (): Promise<void> => {
    const { exitCode, stdout, stderr } = await run();
    expect({ exitCode, stdout }, stderr).toEqual({ exitCode: 3, stdout: 'out\n' });
    expect(stderr).not.toContain(BOOTS);
    expect(stderr).toMatch(IS_CLONE);
  };
  const expectNoLeak = async (): Promise<void> => {
    const { exitCode, stderr } = await run(['gc'], LATER);
    expect({ exitCode, errors: errorsIn(stderr) }, stderr).toEqual({ exitCode: 0, errors: [] });
    expect(leftovers(home)).toEqual([]);
  };
  return { ...qemu, home, run, expectClone, expectNoLeak };
}

describe('kill -9 of QEMU', () => {
  it.each(tried)('$title: the job has its result, and the next one is cloned', async (moment) => {
    const { home, arm, isArmed, run, expectClone, expectNoLeak } = await dyingHost(moment);
    await arm();
    const { exitCode, stdout, stderr } = await run();
    expect({ exitCode, stdout, errors: errorsIn(stderr) }, stderr).toEqual({
      exitCode: 3,
      stdout: 'out\n',
      errors: [],
    });
    expect({ isArmed: isArmed(), boots: stderr.includes(BOOTS) }, stderr).toEqual({
      isArmed: false,
      boots: moment.boots,
    });
    expect(qemuProcesses(home)).toEqual([]);
    await expectClone();
    await expectNoLeak();
  });

  it('when the guest of a proven template runs is one error with the blame on the host', async () => {
    const { home, arm, isArmed, run, expectClone, expectNoLeak } = await dyingHost(RUNS);
    await expectClone();
    await arm();
    const { exitCode, stdout, stderr } = await run();
    expect({ exitCode, stdout, errors: errorsIn(stderr) }, stderr).toEqual({
      ...{ exitCode: 125, stdout: '', errors: ['vm-died'] },
    });
    expect(isArmed()).toBe(false);
    expect(qemuProcesses(home)).toEqual([]);
    await expectClone();
    await expectNoLeak();
  });
});
