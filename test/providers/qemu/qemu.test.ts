import { accessSync, constants, existsSync } from 'node:fs';
import { mkdir, readFile, stat, utimes } from 'node:fs/promises';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

import type { BaseGuest } from '../../../src/images/image.js';
import type { ImageLibrary } from '../../../src/images/library.js';
import { SYSTEM_PATH } from '../../../src/process/system-path.js';
import { QemuProvider } from '../../../src/providers/qemu/qemu.js';
import { rejection, temporaryStore, writeProgram } from '../../images/support.js';
import { createContext, createForgotten, createRequest, NOTHING, remains } from '../support.js';
import { writeBaseGuest } from './base-guest.js';

/** Tells a version, ends at once as a probe, and else serves the control socket as QEMU does. */
const QEMU = `
const { argv, env } = process;
if (argv.includes('--version')) { console.log('QEMU emulator version 7.2.0'); process.exit(0); }
const qmp = argv[argv.indexOf('-qmp') + 1];
if (!argv.includes('-qmp')) process.exit(1);
const socket = qmp.slice('unix:'.length, qmp.indexOf(','));
require('node:fs').writeFileSync(socket + '.env', JSON.stringify(env));
require('node:net').createServer((client) => {
  client.on('error', () => {});
  client.write('{"QMP": {}}\\r\\n');
  client.on('data', (data) => client.write(JSON.stringify({ return: {}, id: JSON.parse(data).id }) + '\\r\\n'));
}).listen(socket);
process.on('SIGTERM', () => {});`;

async function setUp(source = QEMU) {
  const host = await temporaryStore();
  const binary = await writeProgram(host.store.paths.home, 'qemu', source);
  const base = await writeBaseGuest(host.store);
  const request = (name = 'vm-1') => createRequest({ name, boot: { base, image: undefined }, template: 'never' });
  return { ...host, request, provider: new QemuProvider({ ...host, binary, ownUsers: false }) };
}

/** A library for the doctor, who builds nothing. */
const images = (guest: BaseGuest | undefined): ImageLibrary =>
  ({ findBaseGuest: () => Promise.resolve(guest) }) as Partial<ImageLibrary> as ImageLibrary;

function canTry(device: string): boolean {
  try {
    accessSync(device, constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

describe('QemuProvider', () => {
  it('makes a VM whose record says where its agent listens and what runs it', async () => {
    const { provider, store, processes, request } = await setUp();
    const context = createContext();
    const record = await provider.create(request(), context);
    const paths = store.vms.paths('vm-1');
    expect(record).toMatchObject({
      provider: 'qemu',
      state: 'creating',
      endpoint: { kind: 'serial', paths: paths.agents },
      cpus: 1,
    });
    expect((await provider.find('vm-1'))?.vmm).toEqual(record.vmm);
    expect((await stat(paths.disk)).size).toBe(4 * 65_536);
    expect((await stat(paths.directory)).mode & 0o777).toBe(0o700);

    await provider.destroy('vm-1');
    expect(remains('vm-1', record.vmm, { store, processes })).toEqual(NOTHING);
  });

  it('tells in the record which image it was, and that it booted', async () => {
    const { provider, request } = await setUp();
    expect(await provider.create(request(), createContext())).toMatchObject({
      imageDigest: 'sha256:1',
      template: undefined,
    });
    await provider.destroy('vm-1');
  });

  it('asks QEMU for its version once, until it is another one', async () => {
    const { provider, store, request } = await setUp(
      `if (process.argv.includes('--version')) require('node:fs').appendFileSync(__filename + '.asked', 'x');${QEMU}`,
    );
    const binary = path.join(store.paths.home, 'qemu');
    await provider.create(request('vm-1'), createContext());
    await provider.create(request('vm-2'), createContext());
    expect(await readFile(`${binary}.asked`, 'utf8')).toBe('x');
    await utimes(binary, 1, 1);
    await provider.create(request('vm-3'), createContext());
    expect(await readFile(`${binary}.asked`, 'utf8')).toBe('xx');
    for (const name of ['vm-1', 'vm-2', 'vm-3']) await provider.destroy(name);
  });

  it('says in one line why guests are emulated in software', async () => {
    const { provider, request } = await setUp();
    const { log, ...context } = createContext();
    await provider.create(request(), { ...context, log });
    const warnings = log.lines.filter((line) => line.startsWith('warn'));
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toMatch(/^warn: no hardware acceleration \(.+\): the VM is emulated in software/);
    await provider.destroy('vm-1');
  });

  it('gives QEMU nothing of our environment', async () => {
    const { provider, store, request } = await setUp();
    await provider.create(request(), createContext());
    const text = await readFile(`${store.vms.paths('vm-1').qmp}.env`, 'utf8');
    expect(JSON.parse(text)).toEqual({ PATH: SYSTEM_PATH });
    await provider.destroy('vm-1');
  });

  it('shows what QEMU said that ended at once', async () => {
    const { provider, store, processes, request } = await setUp(`
      if (process.argv.includes('--version')) { console.log('QEMU emulator version 7.2.0'); process.exit(0); }
      // Not before the one who started us could look at us.
      setTimeout(() => { console.error('qemu: could not open disk image'); process.exit(1); }, 100);`);
    const error = await rejection(provider.create(request(), createContext()));
    expect(error.code).toBe('vm-start-failed');
    expect(error.message).toBe('QEMU ended as soon as it was started');
    expect(error.detail).toBe('qemu: could not open disk image');
    await provider.destroy('vm-1');
    expect(remains('vm-1', undefined, { store, processes })).toEqual(NOTHING);
  });

  it('makes nothing when QEMU is missing', async () => {
    const { store, processes, request } = await setUp();
    const provider = new QemuProvider({ store, processes, searchPath: '/nowhere' });
    const error = await rejection(provider.create(request(), createContext()));
    expect(error.message).toContain('Install it with: apt-get install qemu-system-x86');
    expect(existsSync(store.vms.paths('vm-1').directory)).toBe(false);
  });

  it('finds a QEMU that no record names', async () => {
    const { provider, store, processes, request } = await setUp();
    const other = await provider.create(request('vm-2'), createContext());
    const vmm = await createForgotten(provider, store, request());
    await provider.destroy('vm-1');
    expect(remains('vm-1', vmm, { store, processes })).toEqual(NOTHING);
    expect(remains('vm-2', other.vmm, { store, processes })).toEqual({ process: true, directory: true });
    await provider.destroy('vm-2');
  });

  it('destroys what is not there, what has no record, and what was destroyed before', async () => {
    const { provider, store, request } = await setUp();
    await provider.destroy('vm-1');
    await mkdir(store.vms.paths('vm-2').directory);
    await provider.destroy('vm-2');
    await provider.create(request('vm-3'), createContext());
    await Promise.all([provider.destroy('vm-3'), provider.destroy('vm-3')]);
    expect(await store.vms.names()).toEqual([]);
  });

  it('does not see the VMs of other providers as its own', async () => {
    const { provider, store, request } = await setUp();
    await provider.create(request(), createContext());
    await store.vms.update('vm-1', { provider: 'fake' });
    expect(await provider.find('vm-1')).toBeUndefined();
    expect(await provider.list()).toEqual([]);
    await provider.destroy('vm-1');
  });

  it('tells the doctor its version, and how guests run here once there is an image to try it with', async () => {
    const { provider, request } = await setUp();
    const { base } = request().boot ?? {};
    const context = createContext();
    expect(await provider.check(images(undefined), context)).toMatchObject([
      { level: 'ok', text: 'QEMU emulator version 7.2.0' },
      {
        level: 'ok',
        text: 'hardware acceleration is tried with the first VM, or here once the default image is built',
      },
    ]);
    const [, acceleration] = await provider.check(images(base), context);
    expect(acceleration?.level).toBe('warning');
    expect(acceleration?.text).toMatch(/^no hardware acceleration \(.+\)/);
  });

  it.skipIf(!canTry('/dev/kvm'))('tries anew for the doctor what did not work, and for VMs not yet', async () => {
    const { provider, store, request } = await setUp();
    const { base } = request().boot ?? {};
    const triedAt = async (): Promise<unknown> =>
      (JSON.parse(await readFile(store.paths.acceleration, 'utf8')) as { triedAt: unknown }).triedAt;
    await provider.create(request('vm-1'), createContext());
    const before = await triedAt();
    await provider.create(request('vm-2'), createContext());
    expect(await triedAt()).toBe(before);
    await provider.check(images(base), createContext());
    expect(await triedAt()).not.toBe(before);
    for (const name of ['vm-1', 'vm-2']) await provider.destroy(name);
  });
});
