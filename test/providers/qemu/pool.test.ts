import { existsSync } from 'node:fs';
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { describe, expect, it, onTestFinished } from 'vitest';

import type { CreateRequest } from '../../../src/providers/provider.js';
import { removeCgroups } from '../../../src/providers/qemu/cgroup.js';
import { cgroupsNamed } from '../../../src/providers/qemu/cgroup-sweep.js';
import { cgroupEnding } from '../../../src/providers/qemu/confinement.js';
import { QemuProvider } from '../../../src/providers/qemu/qemu.js';
import { TemplateStore } from '../../../src/providers/qemu/templates.js';
import { temporaryStore } from '../../images/support.js';
import { createContext, createRequest, NOTHING, remains } from '../support.js';
import { writeBaseGuest } from './base-guest.js';
import { startedFile, writeFakeQemu } from './fake-qemu.js';

async function setUp() {
  const host = await temporaryStore();
  const { store, processes } = host;
  const qemu = await writeFakeQemu(store.paths.home);
  const base = await writeBaseGuest(store);
  const boot = { base, image: undefined };
  const provider = new QemuProvider({ ...host, binary: qemu.binary, ownUsers: false });
  onTestFinished(async () => {
    for (const name of await store.vms.names()) await provider.destroy(name);
    // Of those without a readable record, which only gc would find.
    await removeCgroups(cgroupsNamed(cgroupEnding(store.paths.home)));
  });
  const request = (name: string, change: Partial<CreateRequest> = {}): CreateRequest =>
    createRequest({ name, incarnation: name, memoryMiB: 128, boot, owner: processes.self, ...change });
  const launch = (name: string) => provider.pool.launch(request(name), createContext());
  const claim = async (name: string, change: Partial<CreateRequest> = {}) => {
    const context = createContext();
    const record = await provider.pool.claim(request(name, change), context);
    return { record, said: context.log.lines.filter((line) => !line.includes('no hardware acceleration')) };
  };
  return { ...host, base, qemu, provider, request, launch, claim, templates: new TemplateStore(host) };
}

const [FIRST, SECOND] = ['pool-00000001', 'pool-00000002'];

describe('QemuPool', () => {
  it('launches a QEMU that waits for a guest, and has it load one for whoever claims it', async () => {
    const { launch, claim, qemu, store, processes, templates } = await setUp();
    const waiting = await launch(FIRST);
    expect(waiting).toMatchObject({ state: 'pooled', template: (await templates.list())[0]?.key });
    expect(await store.vms.read(FIRST)).toEqual(waiting);
    expect((await readFile(startedFile(qemu.binary), 'utf8')).trim()).toBe('export boot clone');

    const { record, said } = await claim('vm-1', { job: 'job 7' });
    expect(said).toEqual([]);
    expect(record).toEqual({
      ...waiting,
      ...{ name: 'vm-1', incarnation: 'vm-1', state: 'creating', job: 'job 7' },
      ...{ createdAt: record?.createdAt, expiresAt: record?.expiresAt },
      endpoint: { kind: 'serial', paths: store.vms.paths('vm-1').agents },
    });
    expect(await store.vms.names()).toEqual(['vm-1']);
    expect(await readdir(store.paths.locks)).toEqual([]);
    expect(record?.vmm !== undefined && processes.isAlive(record.vmm)).toBe(true);
    expect((await claim('vm-2')).record).toBeUndefined();
  });

  it('gives one QEMU to one of those who come at once', async () => {
    const { launch, claim } = await setUp();
    const waiting = [await launch(FIRST), await launch(SECOND)].map(({ vmm }) => vmm?.pid);
    const claims = await Promise.all(['vm-1', 'vm-2', 'vm-3', 'vm-4'].map((name) => claim(name)));
    const taken = claims.flatMap(({ record }) => (record === undefined ? [] : [record.vmm?.pid]));
    expect(new Set(taken).size).toBe(taken.length);
    expect(taken.length).toBeGreaterThan(0);
    expect(waiting).toEqual(expect.arrayContaining(taken));
  });

  it('says when a QEMU cannot load its guest, and leaves nothing of it', async () => {
    const { launch, claim, qemu, store, processes } = await setUp();
    const { vmm } = await launch(FIRST);
    await qemu.trouble('load-fails');
    const { record, said } = await claim('vm-1');
    expect(record).toBeUndefined();
    expect(said).toEqual([
      'warn: the VM that waited cannot be used, another one is made: QEMU ended before its guest ran' +
        ' (qemu: error while loading state for instance 0x0)',
    ]);
    expect(remains('vm-1', vmm, { store, processes })).toEqual(NOTHING);
    expect(await store.vms.names()).toEqual([]);
  });

  it('keeps what cannot be used from those who would get less than they asked for', async () => {
    const { launch, claim, store, processes, qemu, request, templates, base } = await setUp();
    const { template = '' } = await launch(FIRST);
    const isolated = new QemuProvider({
      store,
      processes,
      binary: qemu.binary,
      ownUsers: false,
      isolateTemplates: true,
    });
    expect(await isolated.pool.claim(request('vm-1'), createContext())).toBeUndefined();
    const other = { ...base, root: { ...base.root, digest: 'sha256:2' } };
    expect((await claim('vm-1', { boot: { base: other, image: undefined } })).record).toBeUndefined();
    await templates.remove(template);
    expect((await claim('vm-1')).record).toBeUndefined();
    expect(await store.vms.names()).toEqual([FIRST]);
  });

  it('makes another template when the one that was there is damaged', async () => {
    const { launch, store } = await setUp();
    const { template = '' } = await launch(FIRST);
    const state = path.join(store.paths.templates, template, 'state');
    await writeFile(state, 'X');
    expect(await launch(SECOND)).toMatchObject({ state: 'pooled', template });
    expect(await readFile(state, 'utf8')).toBe('STATE');
  });

  it('tells by a fingerprint that its VMs are of no use any more', async () => {
    const { launch, provider, request, templates, qemu } = await setUp();
    const { template = '' } = await launch(FIRST);
    const fingerprint = () => provider.pool.fingerprint(request('vm-1'), createContext());
    const first = await fingerprint();
    expect(await fingerprint()).toBe(first);
    await templates.remove(template);
    expect(await fingerprint()).not.toBe(first);
    await launch(SECOND);
    const second = await fingerprint();
    expect(second).not.toBe(first);
    await writeFile(qemu.binary, `${await readFile(qemu.binary, 'utf8')}\n`);
    expect(await fingerprint()).not.toBe(second);
  });

  it('never has a QEMU ended by the name that it had before', async () => {
    const { launch, claim, provider, processes } = await setUp();
    await launch(FIRST);
    const { record } = await claim('vm-1');
    await provider.destroy(FIRST);
    expect(record?.vmm !== undefined && processes.isAlive(record.vmm)).toBe(true);
  });

  it('is found by the name that it had before when its record is damaged', async () => {
    const { launch, claim, provider, store, processes } = await setUp();
    await launch(FIRST);
    const { record } = await claim('vm-1');
    await writeFile(store.vms.paths('vm-1').record, '{');
    await provider.destroy('vm-1');
    expect(remains('vm-1', record?.vmm, { store, processes })).toEqual(NOTHING);
  });

  it('ends a QEMU that is launched when its maker is cancelled, by its name', async () => {
    const { provider, request, store, launch } = await setUp();
    await launch(FIRST);
    const cancel = new AbortController();
    cancel.abort();
    const context = { ...createContext(), signal: cancel.signal };
    await expect(provider.pool.launch(request(SECOND), context)).rejects.toMatchObject({ code: 'cancelled' });
    await provider.destroy(SECOND);
    await rm(store.vms.paths(FIRST).record);
    await provider.destroy(FIRST);
    expect(existsSync(store.vms.paths(FIRST).directory)).toBe(false);
  });
});
