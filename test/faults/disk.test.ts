import { execFileSync } from 'node:child_process';
import { chmod, chown, mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { describe, expect, it, onTestFinished } from 'vitest';

import { errorsIn, faultyHost, isOurs, JOB } from '../support/faults/faulty-host.js';
import { runProgram } from '../support/faults/program.js';
import { ContainerRegistry } from '../support/container-registry.js';
import { layerTar, writeLayout } from '../support/made-images.js';
import { temporaryDirectory } from '../support/temporary-directory.js';

const isRoot = process.getuid?.() === 0;
/** The user that no file of a test belongs to. */
const NOBODY = 65534;

/** As much as a VM must find free; of a tmpfs nothing of it is used before it is written. */
const ROOM = '4G';

/** A disk of its own for the store. */
async function ownDisk(inodes = 1000): Promise<string> {
  const directory = path.join(await temporaryDirectory(), 'disk');
  await mkdir(directory);
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${ROOM},nr_inodes=${inodes}`, 'tmpfs', directory]);
  onTestFinished(() => void execFileSync('umount', ['--lazy', directory]));
  return directory;
}

/** Makes the disk as small as what is on it, or large again. */
function resize(directory: string, size: string): void {
  execFileSync('mount', ['-o', `remount,size=${size}`, directory]);
}

function fill(directory: string): void {
  const [, used = ''] = execFileSync('df', ['--output=used', '-B1', directory], { encoding: 'utf8' }).split('\n');
  resize(directory, used.trim());
}

describe.runIf(isRoot)('the disk of the store (needs root)', () => {
  it('is full: one error, and the next job works when there is room', async () => {
    const host = await faultyHost(await ownDisk());
    await host.expectNextJob();
    fill(host.directory);
    const { exitCode, stderr } = await host.run(JOB);
    expect({ exitCode, errors: errorsIn(stderr) }, stderr).toEqual({ exitCode: 125, errors: ['disk-full'] });
    resize(host.directory, ROOM);
    await host.expectNextJob();
    await host.expectNoLeak();
  });

  it('is full, and gc makes room all the same', async () => {
    const host = await faultyHost(await ownDisk());
    await host.run(JOB, { act: 'kill', match: /^spawn/ });
    fill(host.directory);
    await host.run(['gc']);
    resize(host.directory, ROOM);
    await host.expectNoLeak();
    await host.expectNextJob();
  });

  it('has no more inodes: one error, and the next job works when there are', async () => {
    const host = await faultyHost(await ownDisk(40));
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
    const host = await faultyHost(await ownDisk());
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

  it('becomes read-only: one error for an image that is converted, and for one whose pull goes on', async () => {
    const layers = [[{ path: 'etc/' }, { path: 'etc/one', content: 'one\n'.repeat(5000) }]];
    const layout = path.join(await temporaryDirectory(), 'layout');
    await writeLayout(layout, { layers, config: {} });
    const registry = await ContainerRegistry.start();
    await registry.pushImage('app', '1', await Promise.all(layers.map((entries) => layerTar(entries))));
    const importing = ['image', 'import', `oci:${layout}`, 'made'];
    const pulling = ['image', 'pull', `${registry.host}/app:1`];
    const host = await faultyHost(await ownDisk());
    for (const args of [importing, pulling]) {
      expect(await host.run(args, { act: 'kill', match: /^(write|rename) home\/(?!locks)/, at: 2 })).toMatchObject({
        killed: true,
      });
      execFileSync('mount', ['-o', 'remount,ro', host.directory]);
      const { exitCode, stderr } = await host.run(args);
      expect({ exitCode, errors: errorsIn(stderr) }, stderr).toEqual({ exitCode: 125, errors: ['host-file-failed'] });
      expect(stderr).toContain('no permission');
      execFileSync('mount', ['-o', 'remount,rw', host.directory]);
      const again = await host.run(args);
      expect(again, again.stderr).toMatchObject({ exitCode: 0 });
    }
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
    expect(stderr).toContain(host.home);
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
      expect(stderr).toContain(path.join(host.home, room));
    } else expect(['tmp', 'logs']).toContain(room);
    await host.expectNoLeak();
    await host.expectNextJob();
  });

  it('belongs to a user who may have no more processes: one error while Node itself has enough', async () => {
    // Nobody else's: processes are counted by user.
    const user = 1_800_000_000 + (process.pid % 100_000);
    const as = ['setpriv', `--reuid=${user}`, `--regid=${user}`, '--clear-groups', '--inh-caps=-all'];
    const host = await faultyHost();
    await chmod(path.dirname(host.directory), 0o755);
    execFileSync('chown', ['-R', `${user}:${user}`, host.directory]);
    const threads =
      "fs.promises.stat('/').then(() => console.log(/Threads:.*?([0-9]+)/.exec(fs.readFileSync('/proc/self/status'))[1]))";
    const own = Number(
      execFileSync('setpriv', [...as.slice(1), process.execPath, '-e', threads], { encoding: 'utf8' }),
    );
    const told: string[] = [];
    let exitCode: number | undefined;
    for (let most = own; exitCode !== 3; most += 1) {
      expect(most, 'never enough').toBeLessThan(own + 12);
      // Node waits for ever for a thread that it may not have.
      const under = ['timeout', '--signal=KILL', '30', 'prlimit', `--nproc=${most}`, ...as];
      const result = await runProgram(JOB, { directory: host.directory, under });
      ({ exitCode } = result);
      if (exitCode !== 3 && isOurs(result.stderr)) {
        expect({ most, exitCode, errors: errorsIn(result.stderr).length }, result.stderr).toEqual({
          ...{ most, exitCode: 125, errors: 1 },
        });
        told.push(...errorsIn(result.stderr));
      }
      await host.expectNoLeak(result.stderr);
    }
    expect(told.length).toBeGreaterThan(0);
    for (const code of told) expect(['vm-start-failed', 'guest-request-refused']).toContain(code);
    await host.expectNextJob();
  });
});
