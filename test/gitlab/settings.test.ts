import { describe, expect, it } from 'vitest';

import { parseGuestDirectories, parsePrepareSettings } from '../../src/gitlab/settings.js';

describe('parsePrepareSettings', () => {
  it('has defaults', () => {
    expect(parsePrepareSettings([])).toEqual({
      provider: 'qemu',
      image: 'default',
      pull: undefined,
      template: undefined,
      cpus: undefined,
      memoryMiB: 2048,
      network: 'open',
      bootTimeoutMs: 120_000,
    });
  });

  it('takes values behind a space or an equals sign', () => {
    const images = ['--image', 'debian:12', '--pull=never', '--template', 'always'];
    const args = [
      ...images,
      '--cpus',
      '4',
      '--memory=8G',
      '--network',
      'none',
      '--boot-timeout=5m',
      '--provider',
      'fake',
    ];
    expect(parsePrepareSettings(args)).toEqual({
      provider: 'fake',
      image: 'debian:12',
      pull: 'never',
      template: 'always',
      cpus: 4,
      memoryMiB: 8192,
      network: 'none',
      bootTimeoutMs: 300_000,
    });
  });

  it.each([
    [
      ['--gpus', '2'],
      'unknown flag in prepare_args: --gpus. It knows --image, --pull, --template, --cpus, --memory, --network, --boot-timeout, --provider.',
    ],
    [['fast'], 'unexpected argument in prepare_args: fast.'],
    [['--cpus'], 'flag without a value in prepare_args: --cpus.'],
    [['--cpus', '0'], 'not a number of processors: --cpus 0. Give a whole number from 1 to 64.'],
    [['--memory', '64M'], 'not a memory size: --memory 64M.'],
    [['--network', 'internet'], 'not a network policy: --network internet. Give one of: none, open.'],
    [['--pull', 'sometimes'], 'not a pull policy: --pull sometimes. Give one of: always, if-not-present, never.'],
    [['--template', 'yes'], 'not a template policy: --template yes. Give one of: auto, always, never.'],
    [['--boot-timeout', 'soon'], 'not a duration: --boot-timeout soon.'],
  ])('refuses %j', (args, sentence) => {
    expect(() => parsePrepareSettings(args)).toThrow(sentence);
  });
});

describe('parseGuestDirectories', () => {
  it('has defaults', () => {
    expect(parseGuestDirectories([])).toEqual({ builds: '/builds', cache: '/cache' });
  });

  it('takes absolute paths only', () => {
    expect(parseGuestDirectories(['--builds-dir', '/b', '--cache-dir', '/c'])).toEqual({ builds: '/b', cache: '/c' });
    expect(() => parseGuestDirectories(['--builds-dir', 'b'])).toThrow(
      'not an absolute path in the guest: --builds-dir b.',
    );
  });
});
