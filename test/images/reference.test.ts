import { describe, expect, it } from 'vitest';

import { VmRunnerError } from '../../src/core/errors.js';
import { canonicalName, parseReference } from '../../src/images/reference.js';

const DIGEST = `sha256:${'0123456789abcdef'.repeat(4)}`;

function mistakeOf(text: string): string {
  try {
    parseReference(text);
  } catch (error) {
    if (error instanceof VmRunnerError && error.code === 'invalid-input') return error.message;
    throw error;
  }
  throw new Error(`${text} was taken`);
}

describe('the name of an image', () => {
  it.each([
    ['default', 'default'],
    ['node', 'docker.io/library/node:latest'],
    ['node:22', 'docker.io/library/node:22'],
    ['docker.io/node:22', 'docker.io/library/node:22'],
    ['index.docker.io/library/node:22', 'docker.io/library/node:22'],
    ['Docker.IO/library/node', 'docker.io/library/node:latest'],
    ['owner/name', 'docker.io/owner/name:latest'],
    ['localhost/x', 'localhost/x:latest'],
    ['localhost:5000/x', 'localhost:5000/x:latest'],
    ['localhost:5000/x:1', 'localhost:5000/x:1'],
    ['GHCR.io/o/n/deep__er:A.b-C_1', 'ghcr.io/o/n/deep__er:A.b-C_1'],
    ['[::1]:5000/x', '[::1]:5000/x:latest'],
    ['127.0.0.1/x', '127.0.0.1/x:latest'],
    [`node@${DIGEST}`, `docker.io/library/node@${DIGEST}`],
    [`r.example/a:1@${DIGEST}`, `r.example/a:1@${DIGEST}`],
    ['oci:/a/b', 'oci:/a/b'],
    ['oci:dir:v1', 'oci:dir:v1'],
    ['docker-archive:a.tar', 'docker-archive:a.tar'],
    ['rootfs:/x/y.tar', 'rootfs:/x/y.tar'],
    ['local/mine', 'local/mine'],
    ['docker.io/local/mine', 'docker.io/local/mine:latest'],
  ])('%s is %s', (text, canonical) => {
    const reference = parseReference(text);
    expect(canonicalName(reference)).toBe(canonical);
    expect(parseReference(canonical)).toEqual(reference);
  });

  it.each([
    ['', 'empty'],
    ['a b', 'has a space in it'],
    ['a\u0000b', 'has a control character in it'],
    ['oci:/a\u0000b', 'has a control character in it'],
    ['https://ghcr.io/o/n', 'web address'],
    ['Node:22', 'capital letters'],
    ['node:', 'not a tag'],
    ['node:-x', 'not a tag'],
    [`node:${'x'.repeat(129)}`, 'not a tag'],
    ['node@sha256:12', 'Expected sha256: and 64 digits'],
    [`node@sha512:${'a'.repeat(128)}`, 'digests of the kind sha512 are not supported'],
    [`node@${DIGEST.toUpperCase()}`, 'not supported'],
    ['localhost:0/x', 'not the host of a registry'],
    ['localhost:65536/x', 'not the host of a registry'],
    ['localhost:http/x', 'not the host of a registry'],
    ['[::g]/x', 'not the host of a registry'],
    ['-a.example/x', 'not the host of a registry'],
    ['a..b/x', 'not the host of a registry'],
    ['ghcr.io/', 'not the name of an image'],
    ['a//b', 'not the name of an image'],
    ['a/../b', 'not the name of an image'],
    ['../b', 'not the host of a registry'],
    ['/etc/passwd', 'not the name of an image'],
    ['a---b_.c', 'not the name of an image'],
    [`r.example/${'a/'.repeat(130)}a`, 'too long'],
    ['a'.repeat(64), 'bare digest'],
    ['oci:', 'no path'],
    ['rootfs:', 'no path'],
    ['local/', 'not the name of a prepared image'],
    ['local/a:1', 'not the name of a prepared image'],
    ['local/a/b', 'not the name of a prepared image'],
  ])('%j is refused: %s', (text, reason) => {
    expect(mistakeOf(text)).toContain(reason);
  });
});
