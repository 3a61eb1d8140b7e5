import { chmod, mkdir, rename, stat, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

import { tryProgram } from '../../../src/process/run.js';
import { ensureEmptySlot, makeOverlay, qcow2Metadata } from '../../../src/providers/qemu/overlay.js';
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
    await makeOverlay(overlay, { file: image, format: 'raw' });
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
    await makeOverlay(overlay, { file: image, format: 'raw' });
    await rename(home, `${home}-moved`);
    const moved = overlay.replace(home, `${home}-moved`);
    const io = ['-c', 'read -v 0 16', '-c', 'write -P 7 8G 1M', '-c', 'read -P 7 8G 1M', '-c', 'read -P 0 15G 64k'];
    const { stdout, exitCode } = await tryProgram(['qemu-io', ...io, moved]);
    expect(stdout).toContain('DATA.OF.THE.IMAG');
    expect(stdout).not.toContain('Pattern verification failed');
    expect(exitCode).toBe(0);
    expect((await tryProgram(['qemu-img', 'check', moved])).exitCode).toBe(0);
  });

  it('lies over another overlay as well', async () => {
    const { home, overlay: middle, image } = await makeStore();
    await makeOverlay(middle, { file: image, format: 'raw' });
    await tryProgram(['qemu-io', '-c', 'write -P 7 8G 1M', middle]);
    await mkdir(path.join(home, 'vms/b'));
    const overlay = path.join(home, 'vms/b/disk.qcow2');
    await makeOverlay(overlay, { file: middle, format: 'qcow2' });
    const { stdout } = await tryProgram(['qemu-img', 'info', '--output=json', overlay]);
    expect(JSON.parse(stdout)).toMatchObject({
      'virtual-size': 16 * GIB,
      'backing-filename': '../a/disk.qcow2',
      'backing-filename-format': 'qcow2',
    });
    const io = await tryProgram(['qemu-io', '-c', 'read -P 7 8G 1M', '-c', 'read -v 0 16', overlay]);
    expect(io.stdout).toContain('DATA.OF.THE.IMAG');
    expect(io.stdout).not.toContain('Pattern verification failed');
  });

  it('does not touch a disk that is there', async () => {
    const { overlay, image } = await makeStore();
    await writeFile(overlay, 'somebody wrote this');
    const error = await rejection(makeOverlay(overlay, { file: image, format: 'raw' }));
    expect(error.code).toBe('host-file-failed');
    expect(error.message).toContain(`cannot make the disk of a VM: ${overlay}`);
  });
});

describe('ensureEmptySlot', () => {
  it('makes an empty disk of 64 GiB that nobody can write to, once, and again when it was damaged', async () => {
    const file = path.join(await temporaryDirectory(), 'empty.qcow2');
    await ensureEmptySlot(file);
    const first = await stat(file);
    expect(first.mode & 0o777).toBe(0o444);
    const { stdout } = await tryProgram(['qemu-img', 'info', '--output=json', file]);
    expect(JSON.parse(stdout)).toMatchObject({ format: 'qcow2', 'virtual-size': 64 * GIB });
    await ensureEmptySlot(file);
    expect((await stat(file)).ino).toBe(first.ino);
    await chmod(file, 0o600);
    await truncate(file, 1000);
    await ensureEmptySlot(file);
    expect((await tryProgram(['qemu-img', 'check', file])).exitCode).toBe(0);
  });
});

describe('qcow2Metadata', () => {
  it('has as many first-level entries as the disk needs', () => {
    const entries = (size: number): number => qcow2Metadata(size).readUInt32BE(36);
    expect(entries(512 * 2 ** 20)).toBe(1);
    expect(entries(512 * 2 ** 20 + 1)).toBe(2);
    expect(entries(16 * GIB)).toBe(32);
  });
});
