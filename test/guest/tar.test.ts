import { execFileSync } from 'node:child_process';
import { link, mkdir, open, readdir, readFile, stat, truncate, utimes, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

import { packTree, type PackOptions } from '../../src/guest/pack.js';
import { unpackTree } from '../../src/guest/unpack.js';
import { temporaryDirectory } from '../support/temporary-directory.js';

// What we pack and unpack against the tar of this host, which is GNU's.

const HOLE = 8 * 2 ** 20;

/** A tree with all that is hard: holes, several names of one file, long and foreign names, fractions of seconds. */
async function hardTree(): Promise<string> {
  const source = await temporaryDirectory();
  const at = (name: string): string => path.join(source, name);
  await mkdir(at('d'), { mode: 0o750 });
  await writeFile(at('d/one'), 'same', { mode: 0o640 });
  await link(at('d/one'), at('two'));
  await writeFile(at('sparse'), 'start');
  await truncate(at('sparse'), HOLE);
  const file = await open(at('sparse'), 'r+');
  await file.write('end', HOLE - 3);
  await file.close();
  await truncate(at('sparse'), 2 * HOLE);
  await writeFile(at('hole'), '');
  await truncate(at('hole'), HOLE);
  for (const name of ['n'.repeat(101), 'ü'.repeat(120), `${'p'.repeat(60)}/${'q'.repeat(60)}`]) {
    await mkdir(path.dirname(at(name)), { recursive: true });
    await writeFile(at(name), name);
  }
  await utimes(at('d/one'), 1_700_000_000.25, 1_700_000_000.25);
  return source;
}

async function archiveOf(source: string, options: PackOptions = {}): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of packTree(source, options)) parts.push(part);
  return Buffer.concat(parts);
}

async function* whole(archive: Buffer): AsyncGenerator<Uint8Array> {
  yield await Promise.resolve(archive);
}

async function expectSame(copy: string, source: string): Promise<void> {
  const names = (await readdir(source, { recursive: true })).sort();
  expect((await readdir(copy, { recursive: true })).sort()).toEqual(names);
  for (const name of names) {
    const [left, right] = await Promise.all([stat(path.join(copy, name)), stat(path.join(source, name))]);
    expect([name, left.mode, left.nlink]).toEqual([name, right.mode, right.nlink]);
    if (!left.isFile()) continue;
    expect([name, left.size]).toEqual([name, right.size]);
    expect((await readFile(path.join(copy, name))).equals(await readFile(path.join(source, name)))).toBe(true);
  }
}

async function diskBytes(file: string): Promise<number> {
  return (await stat(file)).blocks * 512;
}

describe('an archive that we made', () => {
  it('is read by GNU tar as it was, holes and names included', async () => {
    const source = await hardTree();
    const archive = await archiveOf(source);
    expect(archive.length).toBeLessThan(2 ** 20);
    const copy = await temporaryDirectory();
    execFileSync('tar', ['-xpf', '-', '-C', copy], { input: archive });
    await expectSame(copy, source);
    expect((await stat(path.join(copy, 'd/one'))).mtimeMs).toBe(1_700_000_000_250);
    expect(await diskBytes(path.join(copy, 'sparse'))).toBeLessThan(2 ** 20);
  });

  it('needs no PAX when it is to be plain', async () => {
    const source = await hardTree();
    const archive = await archiveOf(source, { plain: true });
    const copy = await temporaryDirectory();
    execFileSync('tar', ['-xpf', '-', '-C', copy], { input: archive });
    await expectSame(copy, source);
    const flags = new Set<string>();
    for (let at = 0; at + 512 <= archive.length; at += 512) {
      if (archive.toString('latin1', at + 257, at + 262) === 'ustar')
        flags.add(archive.toString('latin1', at + 156, at + 157));
    }
    expect([...flags].sort()).toEqual(['0', '1', '5', 'L']);
  });

  it('comes back as it was', async () => {
    const source = await hardTree();
    const copy = path.join(await temporaryDirectory(), 'home');
    const result = await unpackTree(whole(await archiveOf(source)), copy);
    expect(result).toMatchObject({ files: 7, skippedLinks: [], skippedNames: [] });
    expect(result.bytes).toBeLessThan(2 ** 20);
    await expectSame(copy, source);
    expect((await stat(path.join(copy, 'd/one'))).mtimeMs).toBe(1_700_000_000_250);
    for (const name of ['sparse', 'hole']) expect(await diskBytes(path.join(copy, name))).toBeLessThan(2 ** 20);
  });
});

describe('an archive of GNU tar', () => {
  it.each([
    ['gnu', []],
    ['pax', ['--sparse', '--sparse-version=1.0']],
  ])('in the format %s is unpacked', async (format, flags) => {
    const source = await hardTree();
    const archive = execFileSync('tar', ['-cf', '-', `--format=${format}`, ...flags, '-C', source, '.'], {
      maxBuffer: 2 ** 26,
    });
    const copy = path.join(await temporaryDirectory(), 'home');
    await unpackTree(whole(archive), copy);
    await expectSame(copy, source);
    if (format === 'pax') expect(await diskBytes(path.join(copy, 'sparse'))).toBeLessThan(2 ** 20);
  });

  it('with sparse files of the older kinds is refused rather than unpacked wrongly', async () => {
    const source = await hardTree();
    for (const flags of [
      ['--format=gnu'],
      ['--format=pax', '--sparse-version=0.1'],
      ['--format=pax', '--sparse-version=0.0'],
    ]) {
      const archive = execFileSync('tar', ['-cf', '-', '--sparse', ...flags, '-C', source, 'sparse']);
      await expect(unpackTree(whole(archive), await temporaryDirectory())).rejects.toMatchObject({
        code: 'guest-untrusted-data',
      });
    }
  });
});

describe('a sparse file', () => {
  async function unpackSparse(map: string, data: string, realSize: string): Promise<string> {
    const directory = await temporaryDirectory();
    const body = Buffer.concat([padded(Buffer.from(map)), Buffer.from(data)]);
    const records = [
      'GNU.sparse.major=1',
      'GNU.sparse.minor=0',
      'GNU.sparse.name=f',
      `GNU.sparse.realsize=${realSize}`,
    ];
    const pax = Buffer.from(records.map((record) => `${record.length + 4} ${record}\n`).join(''));
    const archive = Buffer.concat([
      header('x', pax.length),
      padded(pax),
      header('0', body.length),
      padded(body),
      Buffer.alloc(1024),
    ]);
    await unpackTree(whole(archive), directory, { entries: 10, bytes: 2 ** 20 });
    return path.join(directory, 'f');
  }

  it('is written by its map', async () => {
    expect(await readFile(await unpackSparse('2\n2\n3\n7\n1\n', 'abcd', '10'), 'latin1')).toBe('\0\0abc\0\0d\0\0');
    expect(await readFile(await unpackSparse('0\n', '', '4'), 'latin1')).toBe('\0\0\0\0');
  });

  it.each([
    ['regions that overlap', '2\n0\n3\n2\n1\n', 'abcd', '10'],
    ['regions in no order', '2\n5\n1\n0\n1\n', 'ab', '10'],
    ['a region beyond the file', '1\n8\n3\n', 'abc', '10'],
    ['a region beyond all numbers', '1\n9007199254740991\n3\n', 'abc', '10'],
    ['too many regions', `${2 ** 17 + 1}\n`, '', '10'],
    ['a map that ends in its middle', '3\n0\n1\n', 'a', '10'],
    ['a number that is none', '1\n0\nx\n', 'a', '10'],
    ['a negative number', '1\n-1\n2\n', 'ab', '10'],
    ['a number without end', '9'.repeat(600), '', '10'],
    ['more bytes than its map has', '1\n0\n1\n', 'ab', '10'],
    ['fewer bytes than its map has', '1\n0\n3\n', 'ab', '10'],
    ['a size without measure', '0\n', '', '99999999'],
    ['a size that is none', '0\n', '', '-1'],
  ])('with %s is refused', async (_what, map, data, realSize) => {
    await expect(unpackSparse(map, data, realSize)).rejects.toMatchObject({ code: 'guest-untrusted-data' });
  });
});

describe('a name', () => {
  it.each([
    ['with a zero byte', 'a\0b'],
    ['with an endless part', 'x'.repeat(256)],
    ['that is endless', 'x/'.repeat(3000)],
    ['that is nested too deeply', 'x/'.repeat(300)],
  ])('%s is refused', async (_what, name) => {
    const record = ` path=${name}\n`;
    const length = Buffer.byteLength(record);
    const digits = String(length).length + (String(length + String(length).length).length - String(length).length);
    const pax = Buffer.from(`${length + digits}${record}`);
    const archive = Buffer.concat([header('x', pax.length), padded(pax), header('0', 0), Buffer.alloc(1024)]);
    await expect(unpackTree(whole(archive), await temporaryDirectory())).rejects.toMatchObject({
      code: 'guest-untrusted-data',
      message: expect.stringMatching(/^guest sent a(n endless)? name/) as string,
    });
  });

  it('behind endless headers is never waited for', async () => {
    const pax = Buffer.from('10 mtime=1\n'.replace('10', '11'));
    async function* endless(): AsyncGenerator<Uint8Array> {
      for (;;) yield await Promise.resolve(Buffer.concat([header('x', pax.length), padded(pax)]));
    }
    await expect(unpackTree(endless(), await temporaryDirectory())).rejects.toMatchObject({
      code: 'guest-untrusted-data',
    });
  });
});

function header(flag: string, size: number): Buffer {
  const block = Buffer.alloc(512);
  block.write('f', 0);
  block.write('0000644\0', 100);
  block.write(`${size.toString(8).padStart(11, '0')}\0`, 124);
  block.write('00000000000\0', 136);
  block.write(flag, 156);
  block.write('ustar\x0000', 257, 'latin1');
  block.fill(0x20, 148, 156);
  block.write(
    `${block
      .reduce((sum, byte) => sum + byte, 0)
      .toString(8)
      .padStart(6, '0')}\0 `,
    148,
  );
  return block;
}

function padded(body: Buffer): Buffer {
  return Buffer.concat([body, Buffer.alloc((512 - (body.length % 512)) % 512)]);
}
