import { describe, expect, it } from 'vitest';

import { ensureHostPackages, neededTools, type HostPackagesOptions } from '../../src/action/host-packages.js';
import { VmRunnerError } from '../../src/core/errors.js';
import { keptLog } from '../support/fake-host.js';

const UBUNTU = { platform: 'linux', architecture: 'x64', uid: 1001, osRelease: 'ID=ubuntu\nID_LIKE=debian\n' };

interface Tried {
  readonly commands: string[];
  readonly error: unknown;
}

async function ensure(
  missing: readonly string[],
  exitCodes: (line: string) => number,
  options: Partial<HostPackagesOptions> = {},
): Promise<Tried> {
  const commands: string[] = [];
  try {
    await ensureHostPackages({
      log: keptLog(),
      host: UBUNTU,
      isBuilt: false,
      searchPath: '/none',
      run: (argv) => {
        commands.push(argv.join(' '));
        return Promise.resolve(exitCodes(argv.join(' ')));
      },
      check: ([tool]) =>
        tool !== undefined && missing.includes(tool.package)
          ? Promise.reject(new VmRunnerError('host-tool-missing', 'missing'))
          : Promise.resolve(),
      ...options,
    });
    return { commands, error: undefined };
  } catch (error) {
    return { commands, error };
  }
}

describe('ensureHostPackages', () => {
  it('does nothing where everything is there', async () => {
    expect(await ensure([], () => 0)).toEqual({ commands: [], error: undefined });
  });

  it('installs exactly what is missing, through sudo that asks for nothing', async () => {
    const { commands, error } = await ensure(['qemu-system-x86', 'mmdebstrap', 'uidmap'], () => 0);
    expect(error).toBeUndefined();
    const apt = 'sudo -n env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=120';
    expect(commands).toEqual([
      'sudo -n apt-get --version',
      `${apt} update`,
      `${apt} install --no-install-recommends qemu-system-x86 mmdebstrap uidmap`,
    ]);
  });

  it('leaves it to the library to say what is missing where there is no sudo', async () => {
    const { commands, error } = await ensure(['mmdebstrap'], () => 1);
    expect({ commands, error }).toEqual({ commands: ['sudo -n apt-get --version'], error: undefined });
    const broken = await ensure(['mmdebstrap'], () => {
      throw new Error('no sudo');
    });
    expect(broken.error).toBeUndefined();
  });

  it('says so when apt-get fails', async () => {
    const { error } = await ensure(['mmdebstrap'], (line) => (line.includes('install') ? 100 : 0), {
      host: { ...UBUNTU, uid: 0 },
    });
    expect(error).toMatchObject({
      code: 'host-tool-failed',
      message:
        'apt-get ended with exit code 100: mmdebstrap. Its output is above. Install the packages in the image of the runner to do without it.',
    });
  });

  it('asks for QEMU alone when the image is built already', () => {
    const packages = (isBuilt: boolean, uid: number): string[] =>
      neededTools({ host: { ...UBUNTU, uid }, isBuilt }).map((tool) => tool.package);
    expect(packages(true, 1001)).toEqual(['qemu-system-x86']);
    expect(packages(false, 1001)).toEqual(expect.arrayContaining(['mmdebstrap', 'debian-archive-keyring', 'uidmap']));
    expect(packages(false, 0)).not.toContain('uidmap');
  });
});
