import { describe, expect, it } from 'vitest';

import { parseProxy, proxyFor } from '../../../src/images/registry/proxy.js';

const way = (variables: Record<string, string>, address: string): string | undefined =>
  proxyFor(new URL(address), parseProxy(variables))?.host;

describe('proxy variables', () => {
  it('choose by the kind of address', () => {
    const variables = { HTTPS_PROXY: 'http://secure:1', http_proxy: 'plain:2' };
    expect(way(variables, 'https://r.example')).toBe('secure:1');
    expect(way(variables, 'http://r.example')).toBe('plain:2');
    expect(way({ ALL_PROXY: 'http://all:3' }, 'https://r.example')).toBe('all:3');
    expect(way({}, 'https://r.example')).toBeUndefined();
  });

  it('in lower case win, and empty ones count as none', () => {
    expect(way({ https_proxy: 'http://lower:1', HTTPS_PROXY: 'http://upper:1' }, 'https://r.example')).toBe('lower:1');
    expect(way({ https_proxy: '', HTTPS_PROXY: 'http://upper:1' }, 'https://r.example')).toBe('upper:1');
  });

  it.each([
    ['*', 'https://r.example', true],
    ['r.example', 'https://r.example', true],
    ['r.example', 'https://deep.r.example', true],
    ['.r.example', 'https://deep.r.example', true],
    ['*.r.example', 'https://deep.r.example', true],
    ['r.example', 'https://other-r.example', false],
    ['a, b r.example', 'https://R.example', true],
    ['r.example:5000', 'https://r.example', false],
    ['r.example:443', 'https://r.example', true],
    ['10.0.0.0/8', 'https://10.1.2.3', true],
    ['10.0.0.0/8', 'https://11.1.2.3', false],
    ['10.0.0.0/99', 'https://10.1.2.3', false],
    ['fd00::/8', 'https://[fd12::1]:5000', true],
    ['fd12::1', 'https://[fd12::1]', true],
    ['192.168.0.7', 'https://192.168.0.7:5000', true],
    ['8.0.7', 'https://192.168.8.0.7.example', false],
  ])('NO_PROXY=%s and %s: direct is %s', (except, address, isDirect) => {
    expect(way({ ALL_PROXY: 'http://p:1', NO_PROXY: except }, address) === undefined).toBe(isDirect);
  });

  it.each(['http://localhost:5000', 'https://127.0.0.2', 'http://[::1]:5000'])('never lead to %s', (address) => {
    expect(way({ ALL_PROXY: 'http://p:1' }, address)).toBeUndefined();
  });

  it('that hold no address are a mistake, and a password in them is not repeated', () => {
    expect(() => parseProxy({ HTTPS_PROXY: 'socks5://user:secret@p' })).toThrow(/address of a proxy: HTTPS_PROXY/);
    expect(() => parseProxy({ HTTPS_PROXY: 'socks5://user:secret@p' })).not.toThrow(/secret/);
  });
});
