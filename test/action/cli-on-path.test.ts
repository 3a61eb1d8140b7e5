import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import path from 'node:path';

import { expect, it } from 'vitest';

import { writeLauncher } from '../../src/action/cli-on-path.js';
import { temporaryDirectory } from '../support/temporary-directory.js';

it('starts the command line with its arguments as they are, and with the store of the job', async () => {
  const directory = await temporaryDirectory();
  const cli = path.join(directory, 'it\'s a "cli".mjs');
  writeFileSync(cli, 'console.log(JSON.stringify([process.env.VM_RUNNER_HOME, ...process.argv.slice(2)]))');
  const home = '/a "b" $HOME `c` \\d }e';
  const bin = await writeLauncher({ node: process.execPath, cli, home, directory: path.join(directory, 'bin dir') });
  const run = (env: Record<string, string>): unknown =>
    JSON.parse(execFileSync(path.join(bin, 'vm-runner'), ['a b', '$x', ''], { env, encoding: 'utf8' }));
  expect(run({ PATH: '/usr/bin:/bin' })).toEqual([home, 'a b', '$x', '']);
  expect(run({ PATH: '/usr/bin:/bin', VM_RUNNER_HOME: '/mine' })).toEqual(['/mine', 'a b', '$x', '']);
});
