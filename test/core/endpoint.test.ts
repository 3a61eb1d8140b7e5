import { describe, expect, it } from 'vitest';

import { parseEndpoint, type Endpoint } from '../../src/core/endpoint.js';

describe('parseEndpoint', () => {
  it.each<Endpoint>([
    { kind: 'unix', path: '/s' },
    { kind: 'serial', paths: ['/a', '/b'] },
    { kind: 'hybrid-vsock', path: '/s', port: 8080 },
    { kind: 'command', argv: ['ssh', 'host', 'vm-agent', 'serve', '--listen', 'stdio'] },
  ])('reads what was written of $kind', (endpoint) => {
    expect(parseEndpoint(JSON.parse(JSON.stringify({ ...endpoint, more: 1 })))).toEqual(endpoint);
  });

  it.each([
    null,
    'unix',
    {},
    { kind: 'tcp', path: '/s' },
    { kind: 'unix' },
    { kind: 'serial', paths: ['/a', 1] },
    { kind: 'hybrid-vsock', path: '/s' },
    { kind: 'hybrid-vsock', path: '/s', port: -1 },
    { kind: 'hybrid-vsock', path: '/s', port: 2 ** 32 - 1 },
    { kind: 'hybrid-vsock', path: '/s', port: 1.5 },
    { kind: 'command', argv: [] },
    { kind: 'command', argv: 'ssh host' },
  ])('finds none in %j', (value) => {
    expect(parseEndpoint(value)).toBeUndefined();
  });
});
