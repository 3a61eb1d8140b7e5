import { describe, expect, it } from 'vitest';

import { VmRunnerError } from '../../src/core/errors.js';
import { orderVm, type VmWishes } from '../../src/stages/order.js';
import { hostConfig } from '../config/support.js';

function refusal(text: string, wishes: VmWishes): string {
  try {
    orderVm(hostConfig(text), wishes);
  } catch (error) {
    if (error instanceof VmRunnerError && error.code === 'not-allowed') return error.message;
    throw error;
  }
  return 'allowed';
}

describe('orderVm', () => {
  it('gives the defaults of vm-runner where nobody says anything', () => {
    expect(orderVm(hostConfig(''), {})).toEqual({
      vm: { image: 'default', memoryMiB: 2048, diskMiB: 16_384, network: 'open' },
      bootTimeoutMs: 120_000,
    });
  });

  it('takes what is asked for, else what goes with the image, else the defaults of the host', () => {
    const config = hostConfig(
      '[defaults]\nimage = "big"\ncpus = 3\nmemory = "1G"\npull = "never"\n[images.big]\nreference = "node:22"\nmemory = "4G"\nuser = "node"',
    );
    expect(orderVm(config, {})).toMatchObject({
      vm: { image: 'node:22', cpus: 3, memoryMiB: 4096, pull: 'never' },
      user: 'node',
    });
    expect(orderVm(config, { memoryMiB: 512, cpus: 1, image: 'debian' })).toMatchObject({
      vm: { image: 'debian', cpus: 1, memoryMiB: 512 },
      named: undefined,
    });
  });

  it('lowers to a limit what nobody asked for', () => {
    const config = hostConfig('[limits]\ncpus = 1\nmemory = "1G"\ndisk = "2G"\nnetworks = ["none"]\npids = 99');
    expect(orderVm(config, {})).toMatchObject({
      vm: { cpus: 1, memoryMiB: 1024, diskMiB: 2048, network: 'none' },
      pids: 99,
    });
  });

  it('refuses all that is over a limit at once, with the places of the limits', () => {
    const text = '[limits]\ncpus = 1\nmemory = "1G"\nnetworks = ["none"]\n';
    expect(refusal(text, { cpus: 2, memoryMiB: 2048, network: 'open' }).split('\n')).toEqual([
      '3 mistakes in what was given:',
      '- more processors than this host gives a job: 2. The most is 1: limits.cpus in /h.toml:2.',
      '- more memory than this host gives a job: 2048 MiB. The most is 1024 MiB: limits.memory in /h.toml:3.',
      '- network is not allowed on this host: open. Allowed: none: limits.networks in /h.toml:4.',
    ]);
  });
});

describe('images that are allowed', () => {
  const only = (...images: string[]): string =>
    `[images.own]\nreference = "rootfs:/srv/own.tar"\n[limits]\nimages = ${JSON.stringify(images)}\n`;
  const digest = `sha256:${'a'.repeat(64)}`;

  it.each([
    ['node', 'node'],
    ['node', 'docker.io/library/node:22'],
    ['node', `node@${digest}`],
    ['node:22*', 'node:22-slim'],
    [`node@${digest}`, `node:22@${digest}`],
    ['ghcr.io/group/*', 'ghcr.io/group/x:1'],
    ['ghcr.io/**', 'ghcr.io/group/deep/x'],
    ['*.corp.example/**', 'reg.corp.example/x'],
    ['own', 'own'],
    ['default', 'default'],
    ['local/*', 'local/x'],
    ['oci:/srv/**', 'oci:/srv/a/b'],
    ['**', 'anything/else'],
  ])('%s means %s', (glob, image) => {
    expect(refusal(only(glob), { image })).toBe('allowed');
  });

  it.each([
    ['node', 'nodejs'],
    ['node', 'ghcr.io/library/node'],
    ['node:22', 'node:23'],
    // A digest decides, whatever tag stands before it.
    ['node:22', `node:22@${digest}`],
    ['ghcr.io/group/*', 'ghcr.io/group/deep/x'],
    ['ghcr.io/group/*', 'ghcr.io/group-of-others/x'],
    ['*.corp.example/**', 'corp.example.evil.com/x'],
    ['oci:/srv/**', 'oci:/srv/../etc'],
    ['node', 'own'],
    ['node', 'default'],
    // The name of an image of the file, and nothing that is called so elsewhere.
    ['own', 'docker.io/library/own'],
  ])('%s does not mean %s', (glob, image) => {
    expect(refusal(only(glob), { image })).toBe(
      `image is not allowed on this host: ${image}. Allowed: ${glob}: limits.images in /h.toml:4.`,
    );
  });

  it('have the default that the operator chose among them', () => {
    expect(refusal(`[defaults]\nimage = "debian"\n[limits]\nimages = ["node"]`, {})).toBe('allowed');
    expect(refusal(`[limits]\nimages = ["node"]`, {})).toContain('image is not allowed on this host: default.');
  });
});
