import { execFileSync } from 'node:child_process';
import { readdirSync, statSync } from 'node:fs';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

import { temporaryDirectory } from './support/temporary-directory.js';

const ROOT = path.resolve(import.meta.dirname, '..');

describe('the package', () => {
  it('installs on a host that has only Node, and works from there', async () => {
    const directory = await temporaryDirectory();
    const run = (program: string, args: readonly string[], env: Readonly<Record<string, string>> = {}): string =>
      execFileSync(program, [...args], {
        cwd: directory,
        encoding: 'utf8',
        env: { ...process.env, ...env },
        stdio: ['ignore', 'pipe', 'pipe'],
      });

    run('npm', ['pack', '--silent', '--pack-destination', directory, ROOT]);
    const [tarball = ''] = readdirSync(directory).filter((name) => name.endsWith('.tgz'));
    expect(tarball).toMatch(/^vm-runner-\d+\.\d+\.\d+\.tgz$/);
    expect(statSync(path.join(directory, tarball)).size).toBeLessThan(8 * 2 ** 20);

    const prefix = path.join(directory, 'prefix');
    run('npm', ['install', '--global', '--offline', '--prefix', prefix, path.join(directory, tarball)]);
    const installed = path.join(prefix, 'lib/node_modules/vm-runner');
    expect(readdirSync(path.join(prefix, 'lib/node_modules'))).toEqual(['vm-runner']);
    expect(readdirSync(installed)).not.toContain('node_modules');

    const vmRunner = path.join(prefix, 'bin/vm-runner');
    const home = { VM_RUNNER_HOME: path.join(directory, 'home') };
    expect(run(vmRunner, ['--version'])).toMatch(/^vm-runner \d+\.\d+\.\d+\n$/);
    expect(run(vmRunner, ['run', '-q', '--provider', 'fake', '--', 'echo', 'works'], home)).toBe('works\n');
    for (const stage of ['config', 'prepare', 'run', 'cleanup']) {
      expect(run(path.join(installed, 'executors/gitlab', stage), ['--help'])).toContain(stage);
    }
  });
});
