import { mkdir, readdir, readFile, readlink, stat, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { pack, type Header } from 'tar-stream';
import { describe, expect, it } from 'vitest';

import { packTree } from '../../src/guest/pack.js';
import { unpackTree } from '../../src/guest/unpack.js';
import { temporaryDirectory } from '../support/temporary-directory.js';

type Entry = Partial<Header> & { readonly name: string; readonly body?: string };

function archive(entries: readonly Entry[]): AsyncIterable<Uint8Array> {
  const tar = pack();
  for (const { body, ...header } of entries) tar.entry({ mode: 0o644, ...header }, body ?? '');
  tar.finalize();
  return tar as AsyncIterable<Uint8Array>;
}

async function target(): Promise<{ outside: string; directory: string }> {
  const outside = await temporaryDirectory();
  await writeFile(path.join(outside, 'precious'), 'host');
  return { outside, directory: path.join(outside, 'home') };
}

describe('unpackTree', () => {
  it('brings a tree over bit for bit', async () => {
    const source = await temporaryDirectory();
    await mkdir(path.join(source, 'a/b'), { recursive: true, mode: 0o750 });
    await writeFile(path.join(source, 'a/run.sh'), '#!/bin/sh\n', { mode: 0o755 });
    await writeFile(path.join(source, 'a/.hidden'), Buffer.from(Array.from({ length: 70_000 }, (_, i) => i % 251)));
    await writeFile(path.join(source, 'a', 'ü'.repeat(120)), 'long name');
    await writeFile(path.join(source, 'empty'), '');
    await symlink('../empty', path.join(source, 'a/link'));
    const { directory } = await target();
    const result = await unpackTree(packTree(source), directory);
    expect(result).toMatchObject({ files: 4, skippedLinks: [] });
    expect((await readdir(directory, { recursive: true })).sort()).toEqual(
      (await readdir(source, { recursive: true })).sort(),
    );
    for (const name of ['a/run.sh', 'a/.hidden', 'empty', `a/${'ü'.repeat(120)}`]) {
      expect(await readFile(path.join(directory, name))).toEqual(await readFile(path.join(source, name)));
      const [copy, original] = await Promise.all([stat(path.join(directory, name)), stat(path.join(source, name))]);
      expect([copy.mode, Math.floor(copy.mtimeMs / 1000)]).toEqual([
        original.mode,
        Math.floor(original.mtimeMs / 1000),
      ]);
    }
    expect((await stat(path.join(directory, 'a/b'))).mode & 0o777).toBe(
      (await stat(path.join(source, 'a/b'))).mode & 0o777,
    );
    expect(await readlink(path.join(directory, 'a/link'))).toBe('../empty');
  });

  it.each([
    ['an absolute name', [{ name: '/etc/evil', body: 'x' }]],
    ['a name that climbs', [{ name: '../precious', body: 'x' }]],
    ['a name that climbs from below', [{ name: 'a/../../precious', body: 'x' }]],
    ['a device', [{ name: 'disk', type: 'block-device' as const, devmajor: 8, devminor: 0 }]],
    ['a pipe', [{ name: 'pipe', type: 'fifo' as const }]],
    ['a hard link', [{ name: 'hard', type: 'link' as const, linkname: '/etc/passwd' }]],
    [
      'a file below a file',
      [
        { name: 'a', body: 'x' },
        { name: 'a/b', body: 'x' },
      ],
    ],
  ])('refuses %s, and leaves nothing outside', async (_what, entries: Entry[]) => {
    const { outside, directory } = await target();
    await expect(unpackTree(archive(entries), directory)).rejects.toMatchObject({
      code: 'guest-untrusted-data',
      blame: 'infra',
    });
    expect((await readdir(outside)).sort()).toEqual(['home', 'precious']);
    expect(await readFile(path.join(outside, 'precious'), 'utf8')).toBe('host');
  });

  it('never writes through a link of the archive', async () => {
    const { outside, directory } = await target();
    const entries: Entry[] = [
      { name: 'up', type: 'symlink', linkname: '.' },
      { name: 'up/x', body: 'through' },
    ];
    await expect(unpackTree(archive(entries), directory)).rejects.toMatchObject({ code: 'guest-untrusted-data' });
    expect(await readFile(path.join(outside, 'precious'), 'utf8')).toBe('host');
  });

  it('never writes through a link that is there already', async () => {
    const { outside, directory } = await target();
    await mkdir(directory);
    await symlink('..', path.join(directory, 'up'));
    await expect(unpackTree(archive([{ name: 'up/precious', body: 'guest' }]), directory)).rejects.toMatchObject({
      code: 'guest-untrusted-data',
    });
    await symlink('../precious', path.join(directory, 'file'));
    await unpackTree(archive([{ name: 'file', body: 'guest' }]), directory);
    expect(await readFile(path.join(directory, 'file'), 'utf8')).toBe('guest');
    expect(await readFile(path.join(outside, 'precious'), 'utf8')).toBe('host');
  });

  it('leaves out links that point out of the directory, and tells which', async () => {
    const { directory } = await target();
    const entries: Entry[] = [
      { name: 'passwd', type: 'symlink', linkname: '/etc/passwd' },
      { name: 'a/up', type: 'symlink', linkname: '../../precious' },
      { name: 'a/fine', type: 'symlink', linkname: '../b' },
      { name: 'b', body: 'x' },
    ];
    expect(await unpackTree(archive(entries), directory)).toMatchObject({ skippedLinks: ['passwd', 'a/up'] });
    expect((await readdir(directory, { recursive: true })).sort()).toEqual(['a', 'a/fine', 'b']);
  });

  it('leaves out links that lead out by way of other links', async () => {
    const { directory } = await target();
    const entries: Entry[] = [
      { name: 'p/q', type: 'directory', mode: 0o755 },
      { name: 'p/q/l', type: 'symlink', linkname: '../..' },
      { name: 'm', type: 'symlink', linkname: 'p/q/l/../precious' },
    ];
    expect(await unpackTree(archive(entries), directory)).toMatchObject({ skippedLinks: ['m'] });
    await expect(readFile(path.join(directory, 'm'))).rejects.toThrow('ENOENT');
  });

  it('refuses names without end, which would only fill the memory', async () => {
    const { directory } = await target();
    const link: Entry = { name: 'l', type: 'symlink', linkname: 'x/'.repeat(10_000) };
    await expect(unpackTree(archive([link]), directory)).rejects.toThrow(/^guest sent a link to an endless name: "l"/);
    const many: Entry[] = Array.from({ length: 100 }, (_, i) => ({
      name: `l${i}`,
      type: 'symlink',
      linkname: 'x'.repeat(1000),
    }));
    await expect(unpackTree(archive(many), directory, { entries: 1000, bytes: 50_000 })).rejects.toThrow(
      /more than 50000 bytes/,
    );
  });

  it('stops at its limits', async () => {
    const { directory } = await target();
    const entries: Entry[] = [
      { name: 'a', body: 'xx' },
      { name: 'b', body: 'xx' },
    ];
    await expect(unpackTree(archive(entries), directory, { entries: 1, bytes: 100 })).rejects.toThrow(
      /^guest sent more than 1 entries: "b"/,
    );
    await expect(unpackTree(archive(entries), directory, { entries: 9, bytes: 3 })).rejects.toThrow(
      /^guest sent more than 3 bytes: "b"/,
    );
  });

  it('keeps the old file when the archive breaks off in the middle of the new one', async () => {
    const { directory } = await target();
    await mkdir(directory);
    await writeFile(path.join(directory, 'a'), 'old');
    async function* broken(): AsyncGenerator<Uint8Array> {
      for await (const bytes of archive([{ name: 'a', body: 'new'.repeat(100_000) }])) {
        yield bytes.subarray(0, 2000);
        throw new Error('connection lost');
      }
    }
    await expect(unpackTree(broken(), directory)).rejects.toThrow();
    expect(await readdir(directory)).toEqual(['a']);
    expect(await readFile(path.join(directory, 'a'), 'utf8')).toBe('old');
  });

  it('drops setuid bits', async () => {
    const { directory } = await target();
    await unpackTree(archive([{ name: 'su', mode: 0o6755, body: 'x' }]), directory);
    expect((await stat(path.join(directory, 'su'))).mode & 0o7777).toBe(0o755);
  });
});
