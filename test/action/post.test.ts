import { mkdir, readdir, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

import { post } from '../../src/action/post.js';
import { readJobState, saveJobState, savePassed } from '../../src/action/state.js';
import { VmRunnerError } from '../../src/core/errors.js';
import { openHost } from '../../src/providers/host.js';
import { recordNamed } from '../store/vm-record.js';
import { temporaryDirectory } from '../support/temporary-directory.js';
import { recordedRunner } from './recorded-runner.js';

const ENTRY = path.resolve(import.meta.dirname, '../../action.yml');
const UID = process.getuid?.();

it('carries from main to post what post needs, and the end only when it was good', () => {
  const runner = recordedRunner();
  const state = { vmName: 'vm-1', home: '/h', provider: 'fake', hostFile: '/h.toml' };
  saveJobState(runner, state);
  const saved = (): Record<string, string> => {
    const pairs = runner.said.map((line): [string, string] => {
      const [name = '', value = ''] = line.replace('state ', '').split('=');
      return [name, value];
    });
    return Object.fromEntries(pairs);
  };
  expect(readJobState(recordedRunner(saved()))).toEqual({ ...state, passed: false });
  savePassed(runner);
  expect(readJobState(recordedRunner(saved()))).toEqual({ ...state, passed: true });
});

it('does nothing after a main that made nothing', async () => {
  const runner = recordedRunner();
  await post({ runner, entry: ENTRY, uid: UID });
  expect(runner.said).toEqual(['debug vm-runner: there is no VM to destroy']);
});

it('is content with a VM that is not there', async () => {
  const runner = recordedRunner({ 'vm-name': 'vm-gone', home: await temporaryDirectory(), provider: 'fake' });
  await post({ runner, entry: ENTRY, uid: UID });
  expect(runner.said).toEqual(['VM vm-gone is destroyed.']);
});

it('annotates a VM that cannot be destroyed, and throws nothing', async () => {
  const runner = recordedRunner({ 'vm-name': 'vm-1', home: '/h', provider: 'fake' });
  const open = (): Promise<never> =>
    Promise.reject(new VmRunnerError('host-file-failed', 'no permission', { subject: '/h' }));
  await post({ runner, entry: ENTRY, uid: UID, open });
  expect(runner.said).toEqual([
    'error [vm-runner: the host of this runner failed [host-file-failed]] no permission: /h',
  ]);
});

describe('the host file that main read', () => {
  /** A job that failed, on a host that has logs of an older VM. */
  async function failedJob(hostFile: string) {
    const directory = await temporaryDirectory();
    const file = path.join(directory, 'h.toml');
    await writeFile(file, hostFile);
    const home = path.join(directory, 'home');
    const { store } = await openHost({ home, provider: 'fake', agentDirectory: directory });
    await store.vms.create(recordNamed('vm-1'));
    await writeFile(store.vms.paths('vm-1').console, 'panic\n');
    await mkdir(path.join(store.paths.logs, 'vm-0'), { recursive: true });
    await writeFile(path.join(store.paths.logs, 'vm-0', 'console.log'), 'older\n');
    const runner = recordedRunner({ 'vm-name': 'vm-1', home, provider: 'fake', 'host-file': file });
    await post({ runner, entry: ENTRY, uid: UID });
    return { file, said: runner.said, vms: await store.vms.names(), logs: await readdir(store.paths.logs) };
  }

  it('has its keep rules in post', async () => {
    const { vms, logs } = await failedJob('[keep]\nlog-vms = 1\n');
    expect({ vms, logs }).toEqual({ vms: [], logs: ['vm-1'] });
  });

  it('does not keep post from its work when it was broken meanwhile', async () => {
    const { file, said, vms, logs } = await failedJob('[keep]\nlog-vms = 0\n');
    expect({ vms, logs: logs.sort() }).toEqual({ vms: [], logs: ['vm-0', 'vm-1'] });
    expect(said[0]).toContain(`warning The VM is destroyed by the rules of a host without a host file: ${file}:2: `);
    expect(said).toContain('VM vm-1 is destroyed.');
  });
});
