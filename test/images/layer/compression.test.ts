import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { gzipSync } from 'node:zlib';

import { describe, expect, it } from 'vitest';

import { decompressed } from '../../../src/images/layer/compression.js';
import { NODE_HAS_ZSTD, unzstdByNode, unzstdByProgram } from '../../../src/images/layer/zstd.js';

const PLAIN = Buffer.concat([Buffer.alloc(3_000_000, 'abc'), randomBytes(700_000)]);

async function* pieces(bytes: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) {
    yield await Promise.resolve(bytes.subarray(at, at + size));
  }
}

async function all(stream: AsyncIterable<Buffer>): Promise<Buffer> {
  const found: Buffer[] = [];
  for await (const piece of stream) found.push(piece);
  return Buffer.concat(found);
}

const read = (bytes: Buffer, size = 65_536): Promise<Buffer> => all(decompressed(pieces(bytes, size)));
/** Not the bytes: a test that fails would print them. */
const sizeOf = async (reading: Promise<Buffer>): Promise<number> => (await reading).length;

const zstdOf = (input: Buffer): Buffer => execFileSync('zstd', ['-q', '-c'], { input, maxBuffer: 2 ** 26 });

const program = (name: string, ...args: string[]): Buffer =>
  execFileSync(name, [...args, '-c'], { input: PLAIN, maxBuffer: 2 ** 26, stdio: ['pipe', 'pipe', 'ignore'] });

describe('decompressed', () => {
  it('passes on what is not compressed', async () => {
    expect((await read(PLAIN)).equals(PLAIN)).toBe(true);
    expect(await read(Buffer.alloc(0))).toHaveLength(0);
    expect((await read(Buffer.from('ab'), 1)).toString()).toBe('ab');
  });

  it('reads gzip of any number of members, by its first bytes alone', async () => {
    const two = Buffer.concat([gzipSync(PLAIN.subarray(0, 100)), gzipSync(PLAIN.subarray(100))]);
    expect((await read(two)).equals(PLAIN)).toBe(true);
    expect((await read(gzipSync(Buffer.from('x')), 1)).toString()).toBe('x');
  });

  it.each([
    { by: 'this Node', unzstd: unzstdByNode, isHere: NODE_HAS_ZSTD },
    { by: 'the program zstd', unzstd: unzstdByProgram, isHere: true },
  ])('reads zstd of any number of frames with $by', async ({ unzstd, isHere }) => {
    if (!isHere) {
      expect(Number(process.versions.node.split('.')[0])).toBeLessThan(23);
      return;
    }
    const skippable = Buffer.from([0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3]);
    const half = PLAIN.length >> 1;
    const two = [zstdOf(PLAIN.subarray(0, half)), zstdOf(PLAIN.subarray(half))];
    for (const frames of [[zstdOf(PLAIN)], two, [skippable, ...two, skippable], [two[0], skippable, two[1]]]) {
      const bytes = Buffer.concat(frames.filter((frame) => frame !== undefined));
      for (const size of [bytes.length, 65_536, 1000]) {
        expect((await all(unzstd(pieces(bytes, size)))).equals(PLAIN)).toBe(true);
      }
    }
    const damaged = Buffer.concat([zstdOf(PLAIN), Buffer.from('no zstd')]);
    await expect(sizeOf(all(unzstd(pieces(damaged, 1000))))).rejects.toMatchObject({ code: 'image-invalid' });
  });

  it('knows zstd by its first bytes', async () => {
    expect((await read(zstdOf(PLAIN))).equals(PLAIN)).toBe(true);
  });

  it('reads gzip with zeros behind it', async () => {
    expect((await read(Buffer.concat([gzipSync(PLAIN), Buffer.alloc(100_000)]))).equals(PLAIN)).toBe(true);
  });

  it.each(['bzip2', 'xz'])('says that %s is nothing for images', async (name) => {
    await expect(read(program(name))).rejects.toMatchObject({ code: 'image-invalid' });
    await expect(read(program(name))).rejects.toThrow(`layer compressed with ${name}, which images do not use`);
  });

  it('says that compressed bytes are damaged or end early', async () => {
    const gzip = gzipSync(PLAIN);
    const zstd = zstdOf(PLAIN);
    for (const whole of [gzip, zstd]) {
      const changed = Buffer.from(whole);
      changed.fill(0x55, whole.length >> 1, (whole.length >> 1) + 64);
      await expect(sizeOf(read(changed))).rejects.toMatchObject({ code: 'image-invalid' });
      await expect(sizeOf(read(whole.subarray(0, whole.length - 20)))).rejects.toMatchObject({ code: 'image-invalid' });
    }
  });

  it('passes on why its source failed', async () => {
    const broken = async function* (): AsyncGenerator<Buffer> {
      yield gzipSync(PLAIN).subarray(0, 1000);
      await Promise.reject(new Error('the disk is gone'));
    };
    const reading = async (): Promise<void> => {
      for await (const piece of decompressed(broken())) expect(piece.length).toBeGreaterThan(0);
    };
    await expect(reading()).rejects.toThrow('the disk is gone');
  });

  it('lets go of its source when nobody reads on', async () => {
    let closed = false;
    const source = async function* (): AsyncGenerator<Buffer> {
      try {
        for (;;) yield await Promise.resolve(randomBytes(65_536));
      } finally {
        closed = true;
      }
    };
    for await (const piece of decompressed(source())) {
      if (piece.length > 0) break;
    }
    expect(closed).toBe(true);
  });
});
