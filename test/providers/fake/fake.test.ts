import { existsSync } from 'node:fs';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

import { SYSTEM_PATH } from '../../../src/process/system-path.js';
import { FakeProvider } from '../../../src/providers/fake/fake.js';
import { rejection, temporaryStore, writeProgram } from '../../images/support.js';
import { createContext, createForgotten, createRequest, NOTHING, remains, until } from '../support.js';

/** Listens where it is told to, as `vm-agent serve --listen unix:PATH` does, and writes down how it was started. */
const AGENT = `
const socket = process.argv.at(-1).replace('unix:', '');
const { argv, env } = process;
require('node:fs').writeFileSync(socket + '.started', JSON.stringify({ argv: argv.slice(2), env }));
require('node:net').createServer((c) => c.on('error', () => {})).listen(socket);`;

async function setUp(agentSource = AGENT) {
  const host = await temporaryStore();
  const agent = await writeProgram(host.store.paths.home, 'vm-agent', agentSource);
  return { ...host, agent, provider: new FakeProvider({ ...host, agent }) };
}

describe('FakeProvider', () => {
  it('starts the agent as a process of this host, with a record like any VM', async () => {
    const { provider, store, processes } = await setUp();
    const record = await provider.create(createRequest(), createContext());
    const socket = store.vms.paths('vm-1').agents[0];
    expect(record).toMatchObject({
      name: 'vm-1',
      provider: 'fake',
      state: 'creating',
      endpoint: { kind: 'unix', path: socket },
      cpus: 1,
      memoryMiB: 512,
      job: 'job 1',
    });
    expect(record.vmm !== undefined && processes.isAlive(record.vmm)).toBe(true);
    // Records come back from their file with the fields that are undefined left out.
    const stored = JSON.parse(JSON.stringify(record)) as unknown;
    expect(await provider.find('vm-1')).toMatchObject(stored as object);
    expect(await provider.list()).toHaveLength(1);

    await provider.destroy('vm-1');
    expect(remains('vm-1', record.vmm, { store, processes })).toEqual(NOTHING);
    expect(await provider.find('vm-1')).toBeUndefined();
    expect(await provider.list()).toEqual([]);
  });

  it('tells the agent its socket and nothing of our environment', async () => {
    const { provider, store } = await setUp();
    await provider.create(createRequest(), createContext());
    const [socket = ''] = store.vms.paths('vm-1').agents;
    await until(() => existsSync(socket));
    expect(JSON.parse(await readFile(`${socket}.started`, 'utf8'))).toEqual({
      argv: ['serve', '--listen', `unix:${socket}`],
      env: { PATH: SYSTEM_PATH },
    });
    await provider.destroy('vm-1');
  });

  it('destroys what is left of an agent that ended by itself', async () => {
    const { provider, store, processes } = await setUp(`setTimeout(() => process.exit(1), 10);`);
    const { vmm } = await provider.create(createRequest(), createContext());
    await until(() => vmm !== undefined && !processes.isAlive(vmm));
    await provider.destroy('vm-1');
    expect(remains('vm-1', vmm, { store, processes })).toEqual(NOTHING);
  });

  it('says what is missing when the agent is', async () => {
    const { provider, agent } = await setUp();
    await rm(agent);
    const error = await rejection(provider.create(createRequest(), createContext()));
    expect(error.code).toBe('host-tool-missing');
    expect(error.message).toContain('The guest agent is part of the vm-runner package');
    await provider.destroy('vm-1');
  });

  it('finds an agent that no record names', async () => {
    const { provider, store, processes } = await setUp();
    const vmm = await createForgotten(provider, store, createRequest());
    await provider.destroy('vm-1');
    expect(remains('vm-1', vmm, { store, processes })).toEqual(NOTHING);
  });

  it('destroys what is not there, what has no record and what has a damaged one', async () => {
    const { provider, store, processes } = await setUp();
    await provider.destroy('vm-1');
    await mkdir(store.vms.paths('vm-2').directory);
    await provider.destroy('vm-2');
    const { vmm } = await provider.create(createRequest({ name: 'vm-3' }), createContext());
    await writeFile(store.vms.paths('vm-3').record, '{"version": 1, "na');
    await provider.destroy('vm-3');
    expect(remains('vm-3', vmm, { store, processes })).toEqual(NOTHING);
    expect(await store.vms.names()).toEqual([]);
  });

  it('refuses names that are no names, and does nothing to their paths', async () => {
    const { provider, store } = await setUp();
    const file = path.join(store.paths.vms, '..', 'precious');
    await writeFile(file, '');
    for (const name of ['../precious', '', 'A', '-a', 'a'.repeat(41)]) {
      expect(await rejection(provider.create(createRequest({ name }), createContext()))).toMatchObject({
        code: 'invalid-input',
        reason: 'not a name for a VM',
      });
      await provider.destroy(name);
    }
    expect(await readFile(file, 'utf8')).toBe('');
    expect(await store.vms.names()).toEqual([]);
  });

  it('makes no second VM of a name', async () => {
    const { provider } = await setUp();
    const first = await provider.create(createRequest(), createContext());
    const error = await rejection(provider.create(createRequest(), createContext()));
    expect(error.message).toContain('a VM of that name exists: vm-1');
    expect((await provider.find('vm-1'))?.vmm).toEqual(first.vmm);
    await provider.destroy('vm-1');
  });

  it('warns that it protects nothing', async () => {
    expect(await (await setUp()).provider.check()).toMatchObject([{ level: 'warning', subject: 'fake' }]);
  });

  it('starts nothing once it is cancelled', async () => {
    const { provider, store } = await setUp();
    const context = { ...createContext(), signal: AbortSignal.abort() };
    expect((await rejection(provider.create(createRequest(), context))).code).toBe('cancelled');
    expect((await store.vms.read('vm-1'))?.vmm).toBeUndefined();
  });
});
