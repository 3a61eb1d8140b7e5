import { execFileSync } from 'node:child_process';
import { mkdir, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

import { VmRunnerError } from '../../../src/core/errors.js';
import { LAYER_LIMITS } from '../../../src/images/layer/limits.js';
import { extra, header, paxRecord, seal, writeEntry, writeLayer, END } from '../../support/layer-writer.js';
import { oddLayers } from '../../support/odd-layers.js';
import { temporaryDirectory } from '../../support/temporary-directory.js';
import { parseLayer, seeded } from './parse-layer.js';

const only = (tar: Buffer) => parseLayer(tar).entries[0];
const nameOf = (tar: Buffer): string | undefined => only(tar)?.path;

describe('TarParser', () => {
  it.each([1, 7, 511, 512, 513, 4096, 100_000])('reads the same in pieces of %i bytes', (bytes) => {
    for (const layer of oddLayers().slice(1)) expect(parseLayer(layer, bytes)).toEqual(parseLayer(layer));
  });

  it('gives the bytes of each file', () => {
    const { entries, contents } = parseLayer(
      writeLayer([{ name: 'a', data: 'one' }, { name: 'b' }, { name: 'c', data: 'three' }]),
    );
    expect(entries.map(({ size }) => size)).toEqual([3, 0, 5]);
    expect(entries.map(({ block }) => contents.get(block)?.toString())).toEqual(['one', '', 'three']);
  });

  it('reads what GNU tar and bsdtar-like PAX writers make', async () => {
    const directory = await temporaryDirectory();
    const deep = path.join(directory, 'd'.repeat(120), 'e'.repeat(120));
    await mkdir(deep, { recursive: true });
    await writeFile(path.join(deep, 'f'.repeat(200)), 'deep');
    await symlink('t'.repeat(300), path.join(directory, 'link'));
    for (const format of ['gnu', 'posix']) {
      const tar = execFileSync('tar', ['-c', `--format=${format}`, '--sort=name', '-C', directory, '.']);
      const { entries, contents } = parseLayer(tar);
      expect(entries.map((entry) => [entry.kind, entry.path.length, entry.target.length])).toEqual([
        ['directory', 0, 0],
        ['directory', 120, 0],
        ['directory', 241, 0],
        ['file', 442, 0],
        ['symlink', 4, 300],
      ]);
      expect(contents.get(entries[3]?.block ?? 0)?.toString()).toBe('deep');
    }
  });

  it('takes every way to write a path as one below the root', () => {
    for (const name of ['a/b', '/a/b', './a/b', '//a//b', '././a/./b', 'a/b/']) {
      expect(nameOf(writeLayer([{ name }]))).toBe('a/b');
    }
    expect(only(writeLayer([{ name: './', flag: '5' }]))).toMatchObject({ path: '', kind: 'directory' });
  });

  it('keeps names as bytes', () => {
    const name = Buffer.from([0x61, 0xff, 0x0a, 0xc3]);
    expect(nameOf(writeLayer([{ name }]))).toBe(name.toString('latin1'));
  });

  it('reads numbers in octal, in binary and in PAX, also before 1970', () => {
    const large = { uid: 3_000_000, gid: 4_000_000_000 };
    expect(only(writeLayer([{ name: 'a', ...large }]))).toMatchObject(large);
    expect(only(writeLayer([{ name: 'a', ...large, binary: true }]))).toMatchObject(large);
    expect(only(writeLayer([{ name: 'a', mtime: -1.25 }]))).toMatchObject({ seconds: -2, nanoseconds: 750_000_000 });
    expect(only(writeLayer([{ name: 'a', mtime: 5.000_001 }]))).toMatchObject({ seconds: 5, nanoseconds: 1000 });
  });

  it('reads extended attributes as the bytes that they are, from both families of archivers', () => {
    const value = Buffer.from([0, 61, 10, 255]);
    const pax = { 'LIBARCHIVE.xattr.user.b%20c': value.toString('base64') };
    expect(only(writeLayer([{ name: 'a', xattrs: { 'user.a': value }, pax }]))?.xattrs).toEqual([
      { name: 'user.b c', value },
      { name: 'user.a', value },
    ]);
  });

  it('takes a name with a slash at its end for a directory, as old archives have it', () => {
    expect(only(writeLayer([{ name: 'a/' }]))).toMatchObject({ kind: 'directory', path: 'a' });
  });

  it('does not look for bytes behind what has none, whatever its size says', () => {
    const { entries } = parseLayer(
      writeLayer([{ name: 'a', data: 'x' }, { name: 'b', flag: '1', link: 'a', size: 512 }, { name: 'c' }]),
    );
    expect(entries.map(({ path: name }) => name)).toEqual(['a', 'b', 'c']);
  });

  it('ignores what holds for all entries, what is behind the end, and an end that is missing', () => {
    const global = extra('g', paxRecord('path', Buffer.from('other')));
    expect(nameOf(Buffer.concat([global, writeLayer([{ name: 'a' }]), Buffer.from('trailing')]))).toBe('a');
    expect(nameOf(writeLayer([{ name: 'a' }], Buffer.alloc(0)))).toBe('a');
    expect(parseLayer(Buffer.alloc(0)).entries).toEqual([]);
    expect(parseLayer(END).entries).toEqual([]);
  });

  it.each([
    ['a path upwards', writeLayer([{ name: 'a/../../b' }]), /leads upwards: a\/\.\.\/\.\.\/b/],
    ['a hard link upwards', writeLayer([{ name: 'a', flag: '1', link: '../b' }]), /leads upwards/],
    ['a zero byte in a name', writeLayer([{ name: 'x', pax: { path: 'a\0b' } }]), /zero byte/],
    ['a long name', writeLayer([{ name: 'a'.repeat(256) }]), /name of more than 255 bytes/],
    ['a long path', writeLayer([{ name: 'a/'.repeat(2100) }]), /path of more than 4096 bytes/],
    ['a deep path', writeLayer([{ name: 'a/'.repeat(257) }]), /deeper than 256/],
    ['no archive', Buffer.alloc(1024, 'x'), /no tar archive/],
    ['a wrong checksum', seal(Buffer.alloc(512, 1)).fill('9', 148, 154), /number that is none|no tar archive/],
    ['a header cut off', writeLayer([{ name: 'a' }]).subarray(0, 300), /ends in its middle/],
    ['a file cut off', writeLayer([{ name: 'a', data: 'x'.repeat(600) }]).subarray(0, 700), /ends in its middle: a/],
    ['an end behind a long name', Buffer.concat([extra('L', Buffer.from('a\0')), END]), /ends in its middle/],
    ['a file larger than files are', writeLayer([{ name: 'a', pax: { size: '70000000000' } }]), /too large: a/],
    ['a negative size', writeLayer([{ name: 'a', size: -5, binary: true }]), /negative size/],
    ['an endless size', writeLayer([{ name: 'a', pax: { size: '9'.repeat(20) } }]), /size is no number/],
    ['a damaged PAX header', Buffer.concat([extra('x', Buffer.from('99 path=a\n')), writeLayer([])]), /damaged PAX/],
    ["GNU's sparse file", writeLayer([{ name: 'a', flag: 'S' }]), /sparse file in GNU's format.*: a/],
    ["PAX's sparse file", writeLayer([{ name: 'a', pax: { 'GNU.sparse.major': '1' } }]), /sparse file/],
    ['an unknown kind', writeLayer([{ name: 'a', flag: 'V' }]), /unknown kind "V": a/],
    ['an owner that is none', writeLayer([{ name: 'a', uid: -1, binary: true }]), /owner that Linux cannot have/],
    ['a device that is none', writeLayer([{ name: 'a', flag: '3', major: 9999 }]), /device that Linux cannot have/],
    ['a link to nowhere', writeLayer([{ name: 'a', flag: '2' }]), /symbolic link to nowhere/],
    ['a root that is a file', writeLayer([{ name: './' + '.', data: 'x' }]), /root is no directory/],
  ])('refuses %s, and says why', (_title, tar, reason) => {
    expect(() => parseLayer(tar)).toThrow(expect.objectContaining({ code: 'image-invalid', blame: 'user' }));
    expect(() => parseLayer(tar)).toThrow(reason);
  });

  it('has limits of entries, of headers for one entry, and of extended attributes', () => {
    const three = writeLayer([{ name: 'a' }, { name: 'b' }, { name: 'c' }]);
    expect(() => parseLayer(three, 512, { entries: 2 })).toThrow(/more than 2 entries/);
    const long = Buffer.alloc(LAYER_LIMITS.extraBytes, 'a');
    expect(() => parseLayer(writeLayer([{ name: 'a', pax: { comment: long } }]))).toThrow(
      /bytes of headers for one entry/,
    );
    const many = Buffer.concat([
      ...Array.from({ length: 3000 }, () => extra('L', Buffer.from('a'))),
      writeEntry({ name: 'a' }),
    ]);
    expect(() => parseLayer(many)).toThrow(/bytes of headers for one entry/);
    const xattrs = { 'user.a': Buffer.alloc(LAYER_LIMITS.xattrBytes) };
    expect(() => parseLayer(writeLayer([{ name: 'a', xattrs }]))).toThrow(/bytes of extended attributes: a/);
  });

  it('shows names without the characters that would steer a terminal', () => {
    expect(() => parseLayer(writeLayer([{ name: '../\x1b[31mred\n' }]))).toThrow(/upwards: \.\.\/red\?/);
  });

  it('never fails but with a sentence of ours, however a tar is damaged', () => {
    const random = seeded(20_240_607);
    const sources = oddLayers();
    let refused = 0;
    for (let round = 0; round < 3000; round += 1) {
      const source = sources[random(sources.length)] ?? END;
      const start = random(Math.max(1, source.length - 20_000)) & ~511;
      const tar = Buffer.from(source.subarray(start, start + 20_000));
      for (let change = random(6); change >= 0; change -= 1) {
        const block = random(tar.length) & ~511;
        tar[Math.min(block + random(512), tar.length - 1)] = random(256);
        // Most would fail by their checksum alone.
        if (random(2) === 0 && block + 512 <= tar.length) seal(tar.subarray(block, block + 512));
      }
      try {
        parseLayer(tar, 1 + random(3000));
      } catch (error) {
        if (!(error instanceof VmRunnerError) || error.code !== 'image-invalid') throw error;
        refused += 1;
      }
    }
    expect(refused).toBeGreaterThan(300);
  });

  it('reads a header alone as it was written', () => {
    const block = header({ name: 'a', mode: 0o4755 }, Buffer.from('a'), Buffer.alloc(0), 0);
    expect(only(block)).toMatchObject({ path: 'a', mode: 0o4755, kind: 'file' });
  });
});
