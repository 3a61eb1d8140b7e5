import { mkdir, rename, stat, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

import { tryProgram } from '../../../src/process/run.js';
import { makeOverlay, overlayMetadata } from '../../../src/providers/qemu/overlay.js';
import { rejection } from '../../images/support.js';
import { temporaryDirectory } from '../../support/temporary-directory.js';

const GIB = 2 ** 30;

async function makeStore(): Promise<{ home: string; overlay: string; image: string }> {
  const home = path.join(await temporaryDirectory(), 'home');
  await mkdir(path.join(home, 'vms/a'), { recursive: true });
  await mkdir(path.join(home, 'images/k'), { recursive: true });
  const image = path.join(home, 'images/k/root.ext4');
  await writeFile(image, 'DATA OF THE IMAGE');
  await truncate(image, 16 * GIB);
  return { home, overlay: path.join(home, 'vms/a/disk.qcow2'), image };
}

describe('makeOverlay', () => {
  it('makes an empty file that QEMU finds sound, over the image by a relative path', async () => {
    const { overlay, image } = await makeStore();
    await makeOverlay(overlay, image);
    const { stdout } = await tryProgram(['qemu-img', 'info', '--output=json', overlay]);
    expect(JSON.parse(stdout)).toMatchObject({
      format: 'qcow2',
      'virtual-size': 16 * GIB,
      'backing-filename': '../../images/k/root.ext4',
      'full-backing-filename': expect.stringContaining('images/k/root.ext4') as string,
      'backing-filename-format': 'raw',
    });
    const check = await tryProgram(['qemu-img', 'check', overlay]);
    expect(check.stdout).toContain('No errors were found');
    expect(check.exitCode).toBe(0);
    const { size, mode } = await stat(overlay);
    expect(size).toBe(4 * 65_536);
    expect(mode & 0o777).toBe(0o600);
  });

  it('takes writes and reads the image below, also after the store was moved', async () => {
    const { home, overlay, image } = await makeStore();
    await makeOverlay(overlay, image);
    await rename(home, `${home}-moved`);
    const moved = overlay.replace(home, `${home}-moved`);
    const io = ['-c', 'read -v 0 16', '-c', 'write -P 7 8G 1M', '-c', 'read -P 7 8G 1M', '-c', 'read -P 0 15G 64k'];
    const { stdout, exitCode } = await tryProgram(['qemu-io', ...io, moved]);
    expect(stdout).toContain('DATA.OF.THE.IMAG');
    expect(stdout).not.toContain('Pattern verification failed');
    expect(exitCode).toBe(0);
    expect((await tryProgram(['qemu-img', 'check', moved])).exitCode).toBe(0);
  });

  it('does not touch a disk that is there', async () => {
    const { overlay, image } = await makeStore();
    await writeFile(overlay, 'somebody wrote this');
    const error = await rejection(makeOverlay(overlay, image));
    expect(error.code).toBe('host-file-failed');
    expect(error.message).toContain(`cannot make the disk of a VM: ${overlay}`);
  });
});

describe('overlayMetadata', () => {
  it('has as many first-level entries as the disk needs', () => {
    const entries = (size: number): number => overlayMetadata(size, 'b').readUInt32BE(36);
    expect(entries(512 * 2 ** 20)).toBe(1);
    expect(entries(512 * 2 ** 20 + 1)).toBe(2);
    expect(entries(16 * GIB)).toBe(32);
  });
});
