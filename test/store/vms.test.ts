import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

import { openStore, type Store } from '../../src/store/store.js';
import { isVmName } from '../../src/store/vms.js';
import { temporaryDirectory } from '../support/temporary-directory.js';
import { processes, recordNamed } from './vm-record.js';

async function store(): Promise<Store> {
  return openStore(path.join(await temporaryDirectory(), 'home'), processes);
}

describe('records of VMs', () => {
  it('come back as they were written', async () => {
    const { vms } = await store();
    const record = recordNamed('vm-a', { job: '42', vmm: processes.self });
    await vms.create(record);
    expect(await vms.read('vm-a')).toEqual(record);
    expect(await vms.update('vm-a', { state: 'ready' })).toEqual({ ...record, state: 'ready' });
  });

  it('are refused when the name is taken', async () => {
    const { vms } = await store();
    await vms.create(recordNamed('vm-a'));
    await expect(vms.create(recordNamed('vm-a'))).rejects.toThrow(
      'a VM of that name exists: vm-a. Choose another name, or remove it with: vm-runner rm vm-a',
    );
  });

  it('are listed oldest first, and damaged ones do not hide the others', async () => {
    const { vms, paths } = await store();
    await vms.create(recordNamed('vm-new', { createdAt: 2 }));
    await vms.create(recordNamed('vm-old', { createdAt: 1 }));
    await mkdir(path.join(paths.vms, 'vm-bad'));
    await writeFile(path.join(paths.vms, 'vm-bad', 'vm.json'), '{"version":1,"name":');
    const { records, damaged } = await vms.list();
    expect(records.map((record) => record.name)).toEqual(['vm-old', 'vm-new']);
    expect(damaged.map((vm) => vm.error.message)).toEqual([
      `record of a VM is no JSON: ${path.join(paths.vms, 'vm-bad', 'vm.json')}. Remove what is left of that VM with: vm-runner gc`,
    ]);
  });

  it('keep all changes when many are made at once', async () => {
    const { vms, paths } = await store();
    await vms.create(recordNamed('vm-a'));
    await Promise.all([
      vms.update('vm-a', { state: 'ready' }),
      vms.update('vm-a', { vmm: processes.self }),
      vms.update('vm-a', { job: '7' }),
    ]);
    expect(await vms.read('vm-a')).toMatchObject({ state: 'ready', vmm: processes.self, job: '7' });
    expect(await readdir(paths.locks)).toEqual([]);
  });

  it('move with their directory to another name, as something else', async () => {
    const { vms, paths } = await store();
    await vms.create(recordNamed('vm-a', { vmm: processes.self, cgroups: ['/c'] }));
    await writeFile(vms.paths('vm-a').console, 'text');
    const renamed = await vms.rename('vm-a', 'vm-b', ({ vmm }) => ({ incarnation: 'b1', vmm, job: '7' }));
    const wanted = recordNamed('vm-b', { vmm: processes.self, cgroups: ['/c'], incarnation: 'b1', job: '7' });
    expect(renamed).toEqual(wanted);
    expect((await vms.list()).records).toEqual([wanted]);
    expect(await readFile(vms.paths('vm-b').console, 'utf8')).toBe('text');
    expect(await readdir(paths.locks)).toEqual([]);
  });

  it.each([
    ['one that is there', (vms: Store['vms']) => vms.create(recordNamed('vm-b', { job: 'mine' }))],
    ['one that is about to be', (vms: Store['vms']) => mkdir(vms.paths('vm-b').directory)],
  ])('do not take the name of %s', async (_whose, make) => {
    const { vms } = await store();
    await vms.create(recordNamed('vm-a'));
    await make(vms);
    await expect(vms.rename('vm-a', 'vm-b', () => ({}))).rejects.toThrow('a VM of that name exists: vm-b.');
    expect((await vms.read('vm-a'))?.name).toBe('vm-a');
    expect((await vms.read('vm-b'))?.job).toBe((await vms.read('vm-b')) === undefined ? undefined : 'mine');
    expect((await vms.names()).sort()).toEqual(['vm-a', 'vm-b']);
  });

  it('stay as they are when they are not wanted any more, and the name is free again', async () => {
    const { vms } = await store();
    await vms.create(recordNamed('vm-a'));
    expect(await vms.rename('vm-a', 'vm-b', () => undefined)).toBeUndefined();
    expect(await vms.rename('vm-gone', 'vm-b', () => ({}))).toBeUndefined();
    expect(await vms.names()).toEqual(['vm-a']);
    expect(await vms.read('vm-a')).toEqual(recordNamed('vm-a'));
  });

  it('are called what their directory is called', async () => {
    const { vms } = await store();
    await vms.create(recordNamed('vm-a'));
    await writeFile(vms.paths('vm-a').record, JSON.stringify(recordNamed('vm-other')));
    expect((await vms.read('vm-a'))?.name).toBe('vm-a');
  });

  it('are never missed by who lists them while they get other names', async () => {
    const { vms } = await store();
    await vms.create(recordNamed('vm-0', { vmm: processes.self }));
    let renamed = 0;
    const rename = async (): Promise<void> => {
      for (; renamed < 100; renamed += 1) await vms.rename(`vm-${renamed}`, `vm-${renamed + 1}`, () => ({}));
    };
    let looks = 0;
    const look = async (): Promise<void> => {
      for (; renamed < 100; looks += 1)
        expect((await vms.list()).records.map(({ vmm }) => vmm)).toContainEqual(processes.self);
    };
    await Promise.all([rename(), look()]);
    expect(looks).toBeGreaterThan(10);
  });

  it('of a name that is no name are not there', async () => {
    const { vms } = await store();
    expect(await vms.read('../../etc')).toBeUndefined();
  });

  it('of a VM that is gone are removed without complaint', async () => {
    const { vms } = await store();
    await vms.remove('vm-none');
  });
});

describe('a store', () => {
  it('says when it lies too deep for sockets', async () => {
    const home = path.join(await temporaryDirectory(), 'x'.repeat(100));
    await expect(openStore(home, processes)).rejects.toThrow(
      /^socket path longer than 107 bytes: .*Set VM_RUNNER_HOME to a shorter path\.$/,
    );
  });

  it('writes its version whole', async () => {
    const { paths } = await store();
    expect(await readFile(paths.version, 'utf8')).toBe('2\n');
    expect(await readdir(paths.home)).not.toContainEqual(expect.stringContaining('.tmp'));
  });
});

describe('isVmName', () => {
  it.each(['vm-1', 'a', 'job-42-x'])('takes %s', (name) => expect(isVmName(name)).toBe(true));
  it.each(['', '-a', 'a-', 'A', 'a/b', '..', 'a_b', 'x'.repeat(41), 'a\n'])('refuses %j', (name) =>
    expect(isVmName(name)).toBe(false),
  );
});
