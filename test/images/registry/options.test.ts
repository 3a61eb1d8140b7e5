import { describe, expect, it } from 'vitest';

import { registryOptions } from '../../../src/images/registry/options.js';

describe('options of registries', () => {
  it('have hosts in one form', () => {
    const options = registryOptions({
      insecure: ['R.example:5000'],
      mirrors: { 'index.docker.io': ['https://m.example/cache'] },
      caFiles: { 'R.EXAMPLE': '/ca.pem' },
    });
    expect(options.insecure).toEqual(['r.example:5000']);
    expect(options.mirrors['docker.io']?.map(String)).toEqual(['https://m.example/cache']);
    expect(options.caFiles).toEqual({ 'r.example': '/ca.pem' });
  });

  it('take a plain mirror on loopback or among the insecure ones only', () => {
    const mirrors = { 'docker.io': ['http://m.example'] };
    expect(() => registryOptions({ mirrors })).toThrow(/address of a mirror/);
    expect(registryOptions({ mirrors, insecure: ['m.example'] }).mirrors['docker.io']).toHaveLength(1);
    expect(registryOptions({ mirrors: { 'docker.io': ['http://127.0.0.1:5000'] } }).mirrors['docker.io']).toHaveLength(
      1,
    );
  });

  it.each(['m.example', 'ftp://m.example', 'https://u:p@m.example', 'https://m.example?a=1'])(
    'refuse %s as a mirror',
    (address) => {
      expect(() => registryOptions({ mirrors: { 'docker.io': [address] } })).toThrow(/address of a mirror/);
    },
  );

  it('refuse a host that is none', () => {
    expect(() => registryOptions({ insecure: ['http://x'] })).toThrow(/not the host of a registry/);
  });
});
