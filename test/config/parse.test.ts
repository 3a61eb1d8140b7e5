import { readFileSync } from 'node:fs';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

import { DEFAULT_HOST_CONFIG } from '../../src/config/host-config.js';
import { hostConfig, mistakesOf } from './support.js';

describe('a host file', () => {
  it('that is empty says nothing', () => {
    expect(hostConfig('')).toEqual({ ...DEFAULT_HOST_CONFIG, file: '/h.toml' });
  });

  it('takes sizes and times as flags do, and numbers without quotes', () => {
    const config = hostConfig(
      [
        '[defaults]\nmemory = "1.5G"\ndisk = 4096\ncpus = 3\nboot-timeout = 90\nnetwork = "none"',
        '[capacity]\nkeep-free-disk = "2G"\nwait = "1h30m"',
        '[keep]\nlog-size = "1G"\nlog-vms = 7',
        '[budgets]\nimages = "50G"',
      ].join('\n'),
    );
    expect(config.defaults).toEqual({
      memoryMiB: 1536,
      diskMiB: 4096,
      cpus: 3,
      bootTimeoutMs: 90_000,
      network: 'none',
    });
    expect(config.capacity).toEqual({ keepFreeMemoryMiB: 512, keepFreeDiskMiB: 2048, waitMs: 5_400_000 });
    expect(config.keep).toMatchObject({ logsBytes: 2 ** 30, logsOf: 7 });
    expect(config.budgets).toEqual({ imagesBytes: 50 * 2 ** 30 });
  });

  it('may write its tables with brackets, dots and braces', () => {
    const image = { name: 'x', reference: 'node:22', memoryMiB: 4096 };
    for (const text of [
      '[images.x]\nreference = "node:22"\nmemory = "4G"',
      'images.x.reference = "node:22"\nimages.x.memory = "4G"',
      'images = { x = { reference = "node:22", memory = "4G" } }',
    ]) {
      expect(hostConfig(text).images).toEqual(new Map([['x', image]]));
    }
  });

  it('remembers where each setting stands', () => {
    const { origins } = hostConfig(
      '[limits]\n\nimages = [\n  "a",\n  "b",\n]\n[registries.mirrors]\n"docker.io" = ["https://m"]\n',
    );
    expect(Object.fromEntries(origins)).toEqual({
      'limits.images': { place: '/h.toml:3', text: '["a", "b"]' },
      'registries.mirrors."docker.io"': { place: '/h.toml:8', text: '["https://m"]' },
    });
  });
});

describe('mistakes of a host file', () => {
  it('are all told at once, from its top to its end, with what was meant', () => {
    const text = [
      '[defaults]',
      'memroy = "2G"',
      'cpus = "many"',
      'network = true',
      '[limit]',
      'cpus = 1',
      '[images.node]',
      'prepare = "setup.sh"',
      '[images.Big]',
      'reference = "node"',
      '[limits]',
      'images = ["node", 7, 8]',
      'pids = 0',
      '[registries.mirrors]',
      '"docker.io" = ["ftp://x"]',
      '"Not a host" = []',
      '"ghcr.io" = ["https://m", "http://m:5000/x"]',
    ].join('\n');
    expect(mistakesOf(text)).toEqual([
      '/h.toml:2: no such setting: defaults.memroy. Did you mean "memory"?',
      '/h.toml:3: not a number of processors: defaults.cpus = "many". Give a whole number from 1 to 64.',
      '/h.toml:4: not a network policy: defaults.network = true. Give one of: none, open.',
      '/h.toml:5: no such table: limit. Did you mean "limits"?',
      '/h.toml:7: image without a reference: images.node. Say what it stands for: reference = "node:22".',
      '/h.toml:8: not an absolute path: images.node.prepare = "setup.sh". Begin it with a slash.',
      expect.stringMatching(/^\/h\.toml:9: not a name for an image: images\.Big\./) as string,
      '/h.toml:12: not a text: limits.images = 7. Put it into quotes.',
      '/h.toml:12: not a text: limits.images = 8. Put it into quotes.',
      '/h.toml:13: not a count: limits.pids = 0. Give a whole number of at least 1.',
      expect.stringMatching(
        /^\/h\.toml:15: not the address of a mirror: registries\.mirrors = "ftp:\/\/x"\./,
      ) as string,
      expect.stringMatching(
        /^\/h\.toml:16: not the host of a registry: registries\.mirrors = "Not a host"\./,
      ) as string,
      '/h.toml:17: mirror over plain HTTP: registries.mirrors = "http://m:5000/x". Give https://, or put "m:5000" into registries.insecure.',
    ]);
  });

  it('are none where plain HTTP is said to be so, and on this host itself', () => {
    const { registries } = hostConfig(
      '[registries]\ninsecure = ["m:5000", "cache.lan"]\n[registries.mirrors]\n"ghcr.io" = ["http://m:5000/x", "http://cache.lan:80", "http://localhost:5000"]',
    );
    expect(registries.mirrors['ghcr.io']).toHaveLength(3);
    const unread = '[registries]\ninsecure = ["a b"]\n[registries.mirrors]\n"ghcr.io" = ["http://m"]';
    expect(mistakesOf(unread)).toEqual([expect.stringContaining('/h.toml:2: not the host of a registry')]);
  });

  it.each([
    ['[qemu]\nisolate-templates = "yes"', '/h.toml:2: not true or false: qemu.isolate-templates = "yes".'],
    ['[qemu]\nbinary = "./qemu"', '/h.toml:2: not a program: qemu.binary = "./qemu".'],
    ['[images.a]\nreference = "Node"', '/h.toml:2: name of an image has capital letters: images.a.reference = "Node".'],
    ['[defaults]\nmemory = "64M"', '/h.toml:2: not a memory size: defaults.memory = "64M".'],
    ['[keep]\nvm = 2026-01-01', '/h.toml:2: not a duration: keep.vm = 2026-01-01.'],
    ['[limits]\nimages = "node"', '/h.toml:2: not a list: limits.images = "node".'],
    ['limits = 3', '/h.toml:1: not a table: limits. Write it as [limits].'],
    ['[[limits]]\ncpus = 1', '/h.toml:'],
    ['[images.default]\nreference = "x"', '/h.toml:1: not a name for an image: images.default.'],
    ['[registries]\ninsecure = ["a b"]', '/h.toml:2: not the host of a registry: registries.insecure = "a b".'],
    ['[defaults]\ncpus = \n', '/h.toml:3: not TOML:'],
    ['[limits]\ncpus = 1\ncpus = 2', '/h.toml:3: not TOML:'],
  ])('%j', (text, start) => {
    const [first = 'none', ...others] = mistakesOf(text);
    expect(first.startsWith(start) ? start : first).toBe(start);
    expect(others.length).toBeLessThan(2);
  });
});

it('the sample host file is one, and says everything that can be said', () => {
  const text = readFileSync(path.resolve(import.meta.dirname, '../../executors/vm-runner.toml'), 'utf8');
  const config = hostConfig(text);
  expect(config.limits.images).toContain('node');
  expect(config.images.get('node')).toMatchObject({ memoryMiB: 4096, user: 'node' });
});
