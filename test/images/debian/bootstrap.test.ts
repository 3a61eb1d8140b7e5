import { describe, expect, it } from 'vitest';

import { bootstrapArguments, chooseMode, hostAptProxy, type BuildHost } from '../../../src/images/debian/bootstrap.js';
import { DEFAULT_RECIPE } from '../../../src/images/debian/recipe.js';
import type { RunResult } from '../../../src/process/run.js';
import { rejection } from '../support.js';

const DEBIAN: BuildHost = {
  platform: 'linux',
  architecture: 'x64',
  uid: 1000,
  osRelease: 'NAME="Debian GNU/Linux"\nID=debian\n',
};
const UBUNTU: BuildHost = { ...DEBIAN, osRelease: 'ID=ubuntu\nID_LIKE=debian\n' };
const RECIPE = {
  ...DEFAULT_RECIPE,
  packages: ['git', 'curl'],
  excludedPaths: ['/usr/share/man/*'],
  keptPaths: ['/usr/share/doc/*/copyright'],
  customizeHook: 'true',
};

const answers = (result: Partial<RunResult>) => (): Promise<RunResult> =>
  Promise.resolve({ exitCode: 0, stdout: '', stderr: '', ...result });

describe('bootstrapArguments', () => {
  it('is this on a Debian host', () => {
    expect(
      bootstrapArguments(RECIPE, { mode: 'unshare', host: DEBIAN, proxy: undefined, output: '/o/root.tar' }),
    ).toEqual([
      'mmdebstrap',
      '--mode=unshare',
      '--format=tar',
      '--variant=minbase',
      '--architectures=amd64',
      '--include=git,curl',
      '--aptopt=APT::Install-Recommends "false"',
      '--dpkgopt=path-exclude=/usr/share/man/*',
      '--dpkgopt=path-include=/usr/share/doc/*/copyright',
      '--customize-hook=true',
      'bookworm',
      '/o/root.tar',
    ]);
  });

  it("names Debian's keyring on other hosts, which do not trust it by themselves", () => {
    const argv = bootstrapArguments(RECIPE, { mode: 'root', host: UBUNTU, proxy: undefined, output: 'o' });
    expect(argv).toContain('--keyring=/usr/share/keyrings/debian-archive-keyring.gpg');
  });

  it("goes through the host's proxy", () => {
    const argv = bootstrapArguments(RECIPE, { mode: 'root', host: DEBIAN, proxy: 'http://proxy:3128', output: 'o' });
    expect(argv).toContain('--aptopt=Acquire::http::Proxy "http://proxy:3128"');
  });
});

describe('chooseMode', () => {
  it('is unshare where that works, for root as well', async () => {
    expect(await chooseMode(DEBIAN, answers({}), '/bin')).toBe('unshare');
    expect(await chooseMode({ ...DEBIAN, uid: 0 }, answers({}), '/bin')).toBe('unshare');
  });

  it('is root for root where unshare does not work', async () => {
    expect(await chooseMode({ ...DEBIAN, uid: 0 }, answers({ exitCode: 1 }), '/bin')).toBe('root');
  });

  it('tells others what to do where unshare does not work', async () => {
    const refuses = answers({ exitCode: 25, stderr: 'E: failed to parse /etc/subuid' });
    const error = await rejection(chooseMode(DEBIAN, refuses, '/bin'));
    expect(error.code).toBe('host-unsupported');
    expect(error.detail).toBe('E: failed to parse /etc/subuid');
    expect(error.message).toMatch(/^the default image cannot be built as this user\. Install the package uidmap and/);
  });
});

describe('hostAptProxy', () => {
  it('is what apt is configured with', async () => {
    expect(await hostAptProxy(answers({ stdout: 'http://proxy:3128/\n' }), '/bin')).toBe('http://proxy:3128/');
  });

  it('is undefined without one, and for what is no address', async () => {
    expect(await hostAptProxy(answers({ stdout: '' }), '/bin')).toBeUndefined();
    expect(await hostAptProxy(answers({ stdout: 'DIRECT\n' }), '/bin')).toBeUndefined();
  });
});
