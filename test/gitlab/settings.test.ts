import { describe, expect, it } from 'vitest';

import { parseConfigSettings, parsePrepareSettings } from '../../src/gitlab/settings.js';

describe('parsePrepareSettings', () => {
  it('leaves to the host file what is not given', () => {
    expect(parsePrepareSettings([])).toEqual({
      provider: 'qemu',
      config: undefined,
      vm: {},
      waitMs: undefined,
    });
  });

  it('takes values behind a space or an equals sign', () => {
    const images = ['--image', 'debian:12', '--pull=never', '--template', 'always'];
    const args = [
      ...images,
      '--cpus',
      '4',
      '--memory=8G',
      '--disk=20G',
      '--config=/etc/x.toml',
      '--network',
      'none',
      '--boot-timeout=5m',
      '--wait=0',
      '--provider',
      'fake',
    ];
    expect(parsePrepareSettings(args)).toEqual({
      provider: 'fake',
      config: '/etc/x.toml',
      vm: {
        ...{ image: 'debian:12', pull: 'never', template: 'always', cpus: 4, memoryMiB: 8192, diskMiB: 20_480 },
        ...{ network: 'none', bootTimeoutMs: 300_000 },
      },
      waitMs: 0,
    });
  });

  it.each([
    [
      ['--gpus', '2'],
      'unknown flag in prepare_args: --gpus. It knows --image, --pull, --template, --cpus, --memory, --disk, --network, --boot-timeout, --wait, --provider, --config.',
    ],
    [['fast'], 'unexpected argument in prepare_args: fast.'],
    [['--cpus'], 'flag without a value in prepare_args: --cpus.'],
    [['--cpus', '0'], 'not a number of processors: --cpus 0. Give a whole number from 1 to 64.'],
    [['--memory', '64M'], 'not a memory size: --memory 64M.'],
    [['--network', 'internet'], 'not a network policy: --network internet. Give one of: none, open.'],
    [['--pull', 'sometimes'], 'not a pull policy: --pull sometimes. Give one of: always, if-not-present, never.'],
    [['--template', 'yes'], 'not a template policy: --template yes. Give one of: auto, always, never.'],
    [['--boot-timeout', 'soon'], 'not a duration: --boot-timeout soon.'],
    [['--wait', '-1'], 'not a duration: --wait -1. Give 0, seconds,'],
  ])('refuses %j', (args, sentence) => {
    expect(() => parsePrepareSettings(args)).toThrow(sentence);
  });
});

describe('parseConfigSettings', () => {
  it('has defaults', () => {
    expect(parseConfigSettings([])).toEqual({ builds: '/builds', cache: '/cache' });
  });

  it('takes absolute paths only', () => {
    expect(parseConfigSettings(['--builds-dir', '/b', '--cache-dir', '/c'])).toEqual({ builds: '/b', cache: '/c' });
    expect(parseConfigSettings(['--config', '/etc/x.toml'])).toMatchObject({ config: '/etc/x.toml' });
    expect(() => parseConfigSettings(['--builds-dir', 'b'])).toThrow(
      'not an absolute path in the guest: --builds-dir b.',
    );
  });
});
