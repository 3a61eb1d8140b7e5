import { describe, expect, it } from 'vitest';

import { parseChallenge } from '../../../src/images/registry/challenge.js';

describe('a challenge', () => {
  it.each([
    [
      'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/node:pull"',
      {
        scheme: 'bearer',
        realm: 'https://auth.docker.io/token',
        service: 'registry.docker.io',
        scope: 'repository:library/node:pull',
      },
    ],
    [
      'bearer realm=https://a.example/t, service=s',
      { scheme: 'bearer', realm: 'https://a.example/t', service: 's', scope: undefined },
    ],
    [
      'Bearer realm="https://a.example/t?a=1,2",service="a \\"b\\"",scope="repository:x:pull,push",error="invalid_token"',
      { scheme: 'bearer', realm: 'https://a.example/t?a=1,2', service: 'a "b"', scope: 'repository:x:pull,push' },
    ],
    ['Basic realm="Registry"', { scheme: 'basic' }],
    ['BASIC', { scheme: 'basic' }],
    [
      'Basic realm="x", Bearer realm="https://a.example/t",service="s"',
      { scheme: 'bearer', realm: 'https://a.example/t', service: 's', scope: undefined },
    ],
    [
      'Negotiate, Bearer realm="https://a.example/t",service="s", Basic realm="x"',
      { scheme: 'bearer', realm: 'https://a.example/t', service: 's', scope: undefined },
    ],
  ])('%s is understood', (header, expected) => {
    expect(parseChallenge(header)).toEqual(expected);
  });

  it.each([undefined, '', 'Negotiate', 'Bearer', 'Bearer service="s"', `Bearer realm="${'x'.repeat(10_000)}"`])(
    '%s is none',
    (header) => {
      expect(parseChallenge(header)).toBeUndefined();
    },
  );
});
