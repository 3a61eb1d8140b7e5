import { writeFile } from 'node:fs/promises';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

import { DEFAULT_HOST_CONFIG } from '../../src/config/host-config.js';
import type { Provider, VmReport } from '../../src/providers/provider.js';
import { DiskWatch } from '../../src/stages/watch-disk.js';
import { openStore } from '../../src/store/store.js';
import { processes, recordNamed } from '../store/vm-record.js';
import { keptLog } from '../support/fake-host.js';
import { temporaryDirectory } from '../support/temporary-directory.js';

const KIB = 1024;

/** A VM that may write 1 MiB, on a host that keeps nothing free. */
async function aVm(keepFreeDiskMiB = 0) {
  const store = await openStore(path.join(await temporaryDirectory(), 'home'), processes);
  const record = recordNamed('vm-1', { diskMiB: 1 });
  const { disk } = await store.vms.create(record);
  const capacity = { ...DEFAULT_HOST_CONFIG.capacity, keepFreeDiskMiB };
  let diskError: VmReport['diskError'];
  const report = (): Promise<VmReport> => Promise.resolve({ ended: undefined, outOfMemory: false, diskError });
  const log = keptLog();
  const providerNamed = (name: string) => ({ name, report }) as unknown as Provider;
  const watch = new DiskWatch({ store, config: { ...DEFAULT_HOST_CONFIG, capacity }, providerNamed }, record, log);
  return {
    log,
    look: () => watch.look(),
    writes: (bytes: number) => writeFile(disk, Buffer.alloc(bytes, 1)),
    fails: (how: VmReport['diskError']) => void (diskError = how),
  };
}

describe('the disk of a VM', () => {
  it('is nothing to talk about while there is room', async () => {
    const { log, look, writes } = await aVm();
    expect(await look()).toBeUndefined();
    await writes(800 * KIB);
    expect(await look()).toBeUndefined();
    expect(log.lines).toEqual([]);
  });

  it('is warned about once when it is near its limit, and ends the job at it', async () => {
    const { log, look, writes } = await aVm();
    await writes(940 * KIB);
    expect(await look()).toBeUndefined();
    expect(await look()).toBeUndefined();
    expect(log.lines).toEqual([
      'warn: the VM has written 940 KiB of the 1.0 MiB that it may: clean up, or ask for more with disk',
    ]);
    await writes(1024 * KIB);
    expect(await look()).toMatchObject({ code: 'disk-limit', blame: 'user', subject: 'vm-1' });
  });

  it('that has errors on the host is told of once, and the job goes on', async () => {
    const { log, look, fails } = await aVm();
    fails('failed');
    expect(await look()).toBeUndefined();
    expect(await look()).toBeUndefined();
    expect(log.lines).toEqual([expect.stringContaining('the guest has I/O errors')]);
  });

  it('that found no room on the host ends the job, which did nothing wrong', async () => {
    const { look, fails } = await aVm();
    fails('no-space');
    expect(await look()).toMatchObject({ code: 'disk-full', blame: 'infra' });
  });
});

it('a job ends before the disk of the host is full, but not as long as there is half of what is kept free', async () => {
  expect(await (await aVm(2 ** 40)).look()).toMatchObject({ code: 'disk-full', blame: 'infra' });
  expect(await (await aVm(1)).look()).toBeUndefined();
});
