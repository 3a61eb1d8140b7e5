import { execFileSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

import { erofsMetadata } from '../../../src/images/erofs/image.js';
import { BLOCK_BYTES } from '../../../src/images/layer/limits.js';
import { MergedTree } from '../../../src/images/merge/merge.js';
import { readErofs } from '../../support/erofs-reader.js';
import { writeLayer, type WrittenEntry } from '../../support/layer-writer.js';
import { oddLayers } from '../../support/odd-layers.js';
import { temporaryDirectory } from '../../support/temporary-directory.js';
import { parseLayer } from '../layer/parse-layer.js';

/** The whole disk: metadata, and behind it the data of each layer. */
function disk(layers: readonly Buffer[]): Buffer {
  const tree = new MergedTree();
  const data = layers.map((layer) => {
    const { entries, contents } = parseLayer(layer);
    tree.add(entries);
    const blocks = Math.max(0, ...[...contents].map(([block, { length }]) => block + Math.ceil(length / BLOCK_BYTES)));
    const bytes = Buffer.alloc(blocks * BLOCK_BYTES);
    for (const [block, content] of contents) content.copy(bytes, block * BLOCK_BYTES);
    return bytes;
  });
  const { bytes, totalBlocks } = erofsMetadata(
    tree.root,
    data.map(({ length }) => length / BLOCK_BYTES),
  );
  const whole = Buffer.concat([bytes, ...data]);
  expect(whole.length).toBe(totalBlocks * BLOCK_BYTES);
  return whole;
}

async function fsck(image: Buffer): Promise<void> {
  const file = path.join(await temporaryDirectory(), 'image');
  await writeFile(file, image);
  execFileSync('fsck.erofs', [file], { stdio: ['ignore', 'ignore', 'pipe'] });
}

const one = (entry: WrittenEntry) => readErofs(disk([writeLayer([entry])])).find(({ path: name }) => name !== '');

describe('erofsMetadata', () => {
  it('is clean for fsck.erofs and reads back as what the layers hold', async () => {
    const image = disk(oddLayers());
    await fsck(image);
    const files = new Map(readErofs(image).map((file) => [file.path, file]));
    const content = (name: string): string | undefined => files.get(name)?.content.toString();
    expect(files.get('')).toMatchObject({ mode: 0o40750, uid: 7, gid: 8 });
    expect(content('etc/passwd')).toBe('root:x:0:0::/root:/bin/bash\n');
    expect(content('usr/lib/libc.so')).toBe('libc');
    expect(content('odd/twice')).toBe('second');
    expect(content('odd/upwards')).toBe('../../../etc/passwd');
    expect(content('odd/longest-link')).toBe('y'.repeat(4090));
    expect(files.get('odd/setuid')?.mode).toBe(0o104755);
    expect(files.get('odd/absolute')?.mode).toBe(0o120777);
    expect(files.get('odd/large-owner')).toMatchObject({ uid: 3_000_000, gid: 3_000_001 });
    expect(files.get('odd/null')?.device).toBe(0x103);
    expect(files.get('odd/loop')?.device).toBe(((300 & ~0xff) << 12) | (7 << 8) | (300 & 0xff));
    expect(files.get('odd/before-1970')?.seconds).toBe(-86_400);
    expect(files.get('odd/fraction')).toMatchObject({ seconds: 1_234_567_890, nanoseconds: 500_000_000 });
    expect(files.get('odd/note')?.xattrs).toEqual({ 'user.note': '68656c6c6f', 'user.bytes': '000a3dff' });
    expect(Object.keys(files.get('odd/acl')?.xattrs ?? {})).toEqual(['system.posix_acl_access']);
    expect(files.get('hard-a')).toMatchObject({ links: 3, nid: files.get('hard-d')?.nid });
    expect(files.has('hard-b')).toBe(false);
    expect([...files.keys()].filter((name) => name.startsWith('many/'))).toHaveLength(500);
    expect(files.get('opaque-after')?.mode).toBe(0o40700);
    expect([...files.keys()].some((name) => name.includes('.wh.'))).toBe(false);
  });

  it('is of few bytes for an image without anything, which is clean as well', async () => {
    const image = disk([]);
    expect(image.length).toBe(BLOCK_BYTES);
    await fsck(image);
    expect(readErofs(image)).toHaveLength(1);
  });

  it('holds directories of many blocks and long names', async () => {
    const names = Array.from({ length: 3000 }, (_, index) => `${'x'.repeat(index % 250)}-${index}`);
    const image = disk([writeLayer(names.map((name) => ({ name })))]);
    await fsck(image);
    expect(
      readErofs(image)
        .map(({ path: name }) => name)
        .sort(),
    ).toEqual(['', ...names].sort());
  });

  it.each(Array.from({ length: 24 }, (_, index) => 3900 + index * 8))(
    'never lets what belongs to an inode cross a block: a link of %i bytes',
    async (length) => {
      const links = Array.from({ length: 3 }, (_, index) => ({
        name: `l${index}`,
        flag: '2',
        link: 'z'.repeat(length),
      }));
      const image = disk([writeLayer(links)]);
      await fsck(image);
      expect(readErofs(image).filter(({ size }) => size === length)).toHaveLength(3);
    },
  );

  it('holds extended attributes that fill a block with their inode, and refuses more', async () => {
    const fits = { name: 'a', xattrs: { 'user.a': Buffer.alloc(4096 - 64 - 12 - 4 - 1 - 3) } };
    expect(Object.keys(one(fits)?.xattrs ?? {})).toEqual(['user.a']);
    await fsck(disk([writeLayer([fits])]));
    const image = (): Buffer => disk([writeLayer([{ name: 'd/a', xattrs: { 'user.a': Buffer.alloc(4096) } }])]);
    expect(image).toThrow(/extended attributes fill more than a block: d\/a/);
  });

  it('makes the same bytes of the same layers', () => {
    expect(disk(oddLayers()).equals(disk(oddLayers()))).toBe(true);
  });

  it('is deep where paths are', async () => {
    const image = disk([writeLayer([{ name: Array.from({ length: 250 }, () => 'd').join('/') }])]);
    await fsck(image);
    expect(readErofs(image)).toHaveLength(251);
  });
});
