import { execFileSync } from 'node:child_process';
import { chmod, chown, mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { describe, expect, it, onTestFinished } from 'vitest';

import { errorsIn, faultyHost, JOB } from '../support/faults/faulty-host.js';
import { runProgram } from '../support/faults/program.js';
import { temporaryDirectory } from '../support/temporary-directory.js';

const isRoot = process.getuid?.() === 0;
/** The user that no file of a test belongs to. */
const NOBODY = 65534;

/** A small disk of its own for the store. */
async function smallDisk(bytes: number, inodes = 1000): Promise<string> {
  const directory = path.join(await temporaryDirectory(), 'disk');
  await mkdir(directory);
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${bytes},nr_inodes=${inodes}`, 'tmpfs', directory]);
  onTestFinished(() => void execFileSync('umount', ['--lazy', directory]));
  return directory;
}

describe.runIf(isRoot)('the disk of the store (needs root)', () => {
  it('is full: one error, and the next job works when there is room', async () => {
    const host = await faultyHost(await smallDisk(2 ** 20));
    await host.expectNextJob();
    const filler = path.join(host.directory, 'filler');
    await writeFile(filler, Buffer.alloc(2 ** 20)).catch(() => undefined);
    const { exitCode, stderr } = await host.run(JOB);
    expect({ exitCode, errors: errorsIn(stderr) }, stderr).toEqual({ exitCode: 125, errors: ['disk-full'] });
    execFileSync('rm', [filler]);
    await host.expectNextJob();
    await host.expectNoLeak();
  });

  it('is full, and gc makes room all the same', async () => {
    const host = await faultyHost(await smallDisk(2 ** 20));
    await host.run(JOB, { act: 'kill', match: /^spawn/ });
    const filler = path.join(host.directory, 'filler');
    await writeFile(filler, Buffer.alloc(2 ** 20)).catch(() => undefined);
    await host.run(['gc']);
    execFileSync('rm', [filler]);
    await host.expectNoLeak();
    await host.expectNextJob();
  });

  it('has no more inodes: one error, and the next job works when there are', async () => {
    const host = await faultyHost(await smallDisk(2 ** 20, 40));
    await host.expectNextJob();
    const fillers = Array.from({ length: 40 }, (_, index) => path.join(host.directory, `filler-${index}`));
    for (const filler of fillers) await writeFile(filler, '').catch(() => undefined);
    const { exitCode, stderr } = await host.run(JOB);
    expect({ exitCode, errors: errorsIn(stderr) }, stderr).toEqual({ exitCode: 125, errors: ['disk-full'] });
    execFileSync('rm', ['-f', ...fillers]);
    await host.expectNextJob();
    await host.expectNoLeak();
  });

  it('becomes read-only: one error that says so, for a job and for gc', async () => {
    const host = await faultyHost(await smallDisk(2 ** 20));
    await host.expectNextJob();
    execFileSync('mount', ['-o', 'remount,ro', host.directory]);
    const job = await host.run(JOB);
    expect({ exitCode: job.exitCode, errors: errorsIn(job.stderr) }, job.stderr).toEqual({
      exitCode: 125,
      errors: ['host-file-failed'],
    });
    expect(job.stderr).toContain('no permission');
    execFileSync('mount', ['-o', 'remount,rw', host.directory]);
    await host.expectNextJob();
    await host.expectNoLeak();
  });

  it("is another user's: one error that says so", async () => {
    const host = await faultyHost();
    await host.expectNextJob();
    await chmod(path.dirname(host.directory), 0o755);
    const under = ['setpriv', `--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups', '--inh-caps=-all'];
    const { exitCode, stderr } = await runProgram(JOB, { directory: host.directory, under });
    expect({ exitCode, errors: errorsIn(stderr) }, stderr).toEqual({ exitCode: 125, errors: ['host-file-failed'] });
    await host.expectNextJob();
    await host.expectNoLeak();
  });

  it.each(['locks', 'vms', 'tmp', 'logs'])('has a room "%s" that the user may not write: one error', async (room) => {
    const host = await faultyHost();
    await host.expectNextJob();
    await chmod(path.dirname(host.directory), 0o755);
    execFileSync('chown', ['-R', `${NOBODY}:${NOBODY}`, host.directory]);
    await chown(path.join(host.home, room), 0, 0);
    const under = ['setpriv', `--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups', '--inh-caps=-all'];
    const { exitCode, stderr } = await runProgram(JOB, { directory: host.directory, under });
    // Jobs without an image make nothing half in the room for that, and keep no logs.
    if (exitCode !== 3) {
      expect({ exitCode, errors: errorsIn(stderr) }, stderr).toEqual({ exitCode: 125, errors: ['host-file-failed'] });
    } else expect(['tmp', 'logs']).toContain(room);
    await host.expectNoLeak();
    await host.expectNextJob();
  });

  it('belongs to a user who may have no more processes: one error', async () => {
    const host = await faultyHost();
    await chmod(path.dirname(host.directory), 0o755);
    execFileSync('chown', ['-R', `${NOBODY}:${NOBODY}`, host.directory]);
    const under = [
      'prlimit',
      '--nproc=12',
      'setpriv',
      `--reuid=${NOBODY}`,
      `--regid=${NOBODY}`,
      '--clear-groups',
      '--inh-caps=-all',
    ];
    const { exitCode, stderr } = await runProgram(JOB, { directory: host.directory, under });
    if (exitCode !== 3) expect(errorsIn(stderr).length <= 1, stderr).toBe(true);
    await host.expectNoLeak(stderr);
    await host.expectNextJob();
  });
});
