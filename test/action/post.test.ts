import path from 'node:path';

import { expect, it } from 'vitest';

import { post } from '../../src/action/post.js';
import { readJobState, saveJobState, savePassed } from '../../src/action/state.js';
import { VmRunnerError } from '../../src/core/errors.js';
import { temporaryDirectory } from '../support/temporary-directory.js';
import { recordedRunner } from './recorded-runner.js';

const ENTRY = path.resolve(import.meta.dirname, '../../action.yml');

it('carries from main to post what post needs, and the end only when it was good', () => {
  const runner = recordedRunner();
  const state = { vmName: 'vm-1', home: '/h', provider: 'fake' };
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
  await post({ runner, entry: ENTRY });
  expect(runner.said).toEqual(['debug vm-runner: there is no VM to destroy']);
});

it('is content with a VM that is not there', async () => {
  const runner = recordedRunner({ 'vm-name': 'vm-gone', home: await temporaryDirectory(), provider: 'fake' });
  await post({ runner, entry: ENTRY });
  expect(runner.said).toEqual(['VM vm-gone is destroyed.']);
});

it('annotates a VM that cannot be destroyed, and throws nothing', async () => {
  const runner = recordedRunner({ 'vm-name': 'vm-1', home: '/h', provider: 'fake' });
  const open = (): Promise<never> =>
    Promise.reject(new VmRunnerError('host-file-failed', 'no permission', { subject: '/h' }));
  await post({ runner, entry: ENTRY, open });
  expect(runner.said).toEqual([
    'error [vm-runner: the host of this runner failed [host-file-failed]] no permission: /h',
  ]);
});
