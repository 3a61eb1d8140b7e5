import { chmod, mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

import { lookAtClock } from '../../../src/cli/doctor/clock.js';
import { lookAtLimits } from '../../../src/cli/doctor/limits.js';
import { lookAtRoom } from '../../../src/cli/doctor/room.js';
import { lookForStaleThings } from '../../../src/cli/doctor/stale.js';
import { lookAtStore } from '../../../src/cli/doctor/store.js';
import { DEFAULT_HOST_CONFIG } from '../../../src/config/host-config.js';
import { LinuxHostMemory } from '../../../src/process/host-memory.js';
import { Capacity } from '../../../src/store/capacity.js';
import { fakeHost, keptLog } from '../../support/fake-host.js';
import { temporaryDirectory } from '../../support/temporary-directory.js';

describe('doctor', () => {
  it('tells a store that others may write to', async () => {
    const host = await fakeHost();
    expect((await lookAtStore(host)).map(({ level }) => level)).not.toContain('problem');
    await chmod(host.store.paths.home, 0o777);
    expect(await lookAtStore(host)).toContainEqual({
      level: 'problem',
      subject: 'store',
      text: expect.stringContaining(`chmod go-w ${host.store.paths.home}`) as string,
    });
  });

  it('tells a disk on which jobs wait for room', async () => {
    const host = await fakeHost();
    const config = { ...DEFAULT_HOST_CONFIG, capacity: { ...DEFAULT_HOST_CONFIG.capacity, keepFreeDiskMiB: 2 ** 40 } };
    expect(await lookAtStore({ ...host, config })).toMatchObject([{ level: 'problem', subject: 'store' }]);
  });

  it('tells who has the room, and who waits for it', async () => {
    const host = await fakeHost();
    expect(await lookAtRoom(host)).toMatchObject([
      { level: 'ok', text: expect.stringMatching(/^0 VMs have 0 processors and 0 B; .* are free$/) as string },
    ]);
    const most = { ...host.capacity.limits, vms: 0 };
    const full = new Capacity({
      store: host.store,
      processes: host.processes,
      memory: new LinuxHostMemory(),
      limits: most,
    });
    const ticket = full.ticket('box', 'i', { cpus: 1, memoryMiB: 512, diskMiB: 64 });
    await full.admit(ticket, new AbortController().signal);
    expect(await lookAtRoom({ capacity: full })).toMatchObject([
      { level: 'warning', text: expect.stringMatching(/^1 job waits for room: 0 of 0 VMs have /) as string },
    ]);
  });

  it('tells limits of the system that are too low', async () => {
    const file = path.join(await temporaryDirectory(), 'limits');
    const head = 'Limit                     Soft Limit           Hard Limit           Units';
    await writeFile(
      file,
      `${head}\nMax processes    100     unlimited  processes\nMax open files   64    4096   files\n`,
    );
    expect((await lookAtLimits(file)).map(({ text }) => text)).toEqual([
      'only 64 open files are allowed, 1024 are needed. Raise it with: ulimit -n 65536, or LimitNOFILE= of the service',
      'only 100 processes are allowed, 256 are needed. Raise it with: ulimit -u, or TasksMax= of the service',
    ]);
    await writeFile(
      file,
      'Max open files   1048576    1048576   files\nMax processes  unlimited unlimited processes\n',
    );
    expect(await lookAtLimits(file)).toMatchObject([{ level: 'ok' }]);
  });

  it('tells a clock that cannot be right', async () => {
    const host = await fakeHost();
    expect(await lookAtClock(host, Date.UTC(1970, 0, 2))).toMatchObject([{ level: 'problem', subject: 'clock' }]);
    expect(await lookAtClock(host, Date.now())).toMatchObject([{ level: 'ok' }]);
  });

  it('tells what gc would take, and takes nothing', async () => {
    const host = await fakeHost();
    const left = path.join(host.store.paths.temporary, 'left');
    await mkdir(left);
    const options = { now: Date.now(), log: keptLog(), signal: new AbortController().signal };
    expect(await lookForStaleThings(host, options)).toMatchObject([
      { level: 'warning', text: expect.stringMatching(/^1 half-made \(.*vm-runner gc$/) as string },
    ]);
    await chmod(left, 0o700);
  });
});
