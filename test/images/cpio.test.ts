import { describe, expect, it } from 'vitest';

import { cpioArchive } from '../../src/images/cpio.js';

const text = (archive: Buffer): string => archive.toString('latin1').replaceAll('\0', '.');

describe('cpioArchive', () => {
  it('writes a directory, a file and a device in the format newc', () => {
    const archive = cpioArchive([
      { kind: 'directory', path: 'dev' },
      { kind: 'character-device', path: 'dev/console', major: 5, minor: 1 },
      { kind: 'file', path: 'init', data: Buffer.from('hello'), mode: 0o755 },
    ]);
    const ids = '000000000000000000000001'; // uid, gid, one link
    const expected = [
      `07070100000001000041ed${ids}0000000000000000${'0'.repeat(32)}0000000400000000dev...`,
      `0707010000000200002180${ids}0000000000000000${'0'.repeat(16)}00000005000000010000000c00000000dev/console...`,
      `07070100000003000081ed${ids}0000000000000005${'0'.repeat(32)}0000000500000000init..hello...`,
      `0707010000000000000000${ids}0000000000000000${'0'.repeat(32)}0000000b00000000TRAILER!!!....`,
    ];
    expect(text(archive)).toBe(expected.join(''));
  });

  it('aligns every entry to four bytes', () => {
    for (const length of [0, 1, 2, 3, 4, 5]) {
      const archive = cpioArchive([{ kind: 'file', path: 'x'.repeat(length + 1), data: Buffer.alloc(length) }]);
      expect(archive.length % 4).toBe(0);
      expect(archive.lastIndexOf('070701') % 4).toBe(0);
    }
  });

  it('makes equal bytes of equal entries', () => {
    const make = (): Buffer => cpioArchive([{ kind: 'file', path: 'a', data: Buffer.from('b') }]);
    expect(make().equals(make())).toBe(true);
  });
});
