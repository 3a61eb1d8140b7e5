import { chmod, chown, mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

import { loadHostConfig } from '../../src/config/load.js';
import { hostFilePlaces } from '../../src/config/locate.js';
import { readHostFile } from '../../src/config/host-file.js';
import { HOST_CHECKS } from '../../src/images/host-checks.js';
import { temporaryDirectory } from '../support/temporary-directory.js';

const checks = HOST_CHECKS;
const uid = process.getuid?.();

describe('where the host file is', () => {
  it('is said by the flag, else the variable, else it is in the usual places', () => {
    const env = { VM_RUNNER_CONFIG: '/v.toml', XDG_CONFIG_HOME: '/xdg', HOME: '/home/u' };
    expect(hostFilePlaces('/f.toml', env)).toEqual([{ path: '/f.toml', namedBy: '--config' }]);
    expect(hostFilePlaces(undefined, env)).toEqual([{ path: '/v.toml', namedBy: 'VM_RUNNER_CONFIG' }]);
    const usual = (given: object): string[] => hostFilePlaces(undefined, given).map((place) => place.path);
    const system = '/etc/vm-runner/vm-runner.toml';
    expect(usual({ ...env, VM_RUNNER_CONFIG: '' })).toEqual([system, '/xdg/vm-runner/vm-runner.toml']);
    expect(usual({ HOME: '/home/u' })).toEqual([system, '/home/u/.config/vm-runner/vm-runner.toml']);
    expect(usual({ HOME: 'relative' })).toEqual([system]);
  });

  it('is never relative', () => {
    expect(() => hostFilePlaces(undefined, { VM_RUNNER_CONFIG: 'x.toml' })).toThrow(
      'not an absolute path: VM_RUNNER_CONFIG=x.toml.',
    );
  });
});

describe('loadHostConfig', () => {
  it('takes the first of the usual places, and nothing when there is none', async () => {
    const directory = await temporaryDirectory();
    const systemPlace = path.join(directory, 'system.toml');
    const load = () => loadHostConfig({ env: { HOME: directory }, uid, checks, systemPlace });
    expect((await load()).file).toBeUndefined();
    const own = path.join(directory, '.config/vm-runner/vm-runner.toml');
    await mkdir(path.dirname(own), { recursive: true });
    await writeFile(own, '[limits]\ncpus = 1\n');
    expect(await load()).toMatchObject({ file: own, limits: { cpus: 1 } });
    await writeFile(systemPlace, '[limits]\ncpus = 2\n');
    expect(await load()).toMatchObject({ file: systemPlace, limits: { cpus: 2 } });
  });

  it('refuses a file that was named and is not there', async () => {
    const flag = path.join(await temporaryDirectory(), 'none.toml');
    await expect(loadHostConfig({ flag, env: {}, uid, checks })).rejects.toThrow(
      `no host file there, where --config says that it is: ${flag}.`,
    );
    await expect(loadHostConfig({ env: { VM_RUNNER_CONFIG: flag }, uid, checks })).rejects.toThrow('VM_RUNNER_CONFIG');
  });

  it('lets the environment win over the file, and remembers it', async () => {
    const flag = path.join(await temporaryDirectory(), 'x.toml');
    await writeFile(flag, '[qemu]\nbinary = "/opt/qemu"\nisolate-templates = true\n');
    const load = (env: object) => loadHostConfig({ flag, env, uid, checks });
    expect((await load({})).qemu).toEqual({ binary: '/opt/qemu', isolateTemplates: true });
    const { qemu, origins } = await load({ VM_RUNNER_QEMU: 'other', VM_RUNNER_ISOLATE_TEMPLATES: '0' });
    expect(qemu).toEqual({ binary: 'other', isolateTemplates: false });
    expect(origins.get('qemu.binary')).toEqual({ place: 'environment VM_RUNNER_QEMU', text: 'other' });
    await expect(load({ VM_RUNNER_ISOLATE_TEMPLATES: 'yes' })).rejects.toThrow('not 1 or 0');
  });
});

describe('a host file that root reads', () => {
  it('may be written by nobody else', async () => {
    const file = path.join(await temporaryDirectory(), 'x.toml');
    await writeFile(file, '');
    await chmod(file, 0o664);
    const places = [{ path: file, namedBy: undefined }];
    await expect(readHostFile(places, 1000)).resolves.toEqual({ path: file, text: '' });
    if (uid !== 0) return;
    await expect(readHostFile(places, 0)).rejects.toThrow('host file may be written by others, and root reads it');
    await chmod(file, 0o644);
    await expect(readHostFile(places, 0)).resolves.toEqual({ path: file, text: '' });
    await chown(file, 1000, 0);
    await expect(readHostFile(places, 0)).rejects.toThrow('host file belongs to user 1000, and root reads it');
  });

  it('is a plain file of a bounded size', async () => {
    const directory = await temporaryDirectory();
    await expect(readHostFile([{ path: directory, namedBy: undefined }], uid)).rejects.toThrow('is no plain file');
    const file = path.join(directory, 'x');
    await writeFile(file, 'x'.repeat(2 ** 20 + 1));
    await expect(readHostFile([{ path: file, namedBy: undefined }], uid)).rejects.toThrow('more than 1 MiB');
  });
});
