import { execFileSync } from 'node:child_process';
import path from 'node:path';

import { describe, expect, inject, it } from 'vitest';

import { QmpClient } from '../../src/providers/qemu/qmp.js';
import { hostWithImages } from '../support/e2e.js';
import { bareGuest } from '../support/guest.js';
import { temporaryDirectory } from '../support/temporary-directory.js';

const MIB = 2 ** 20;

async function bootGuest(name: string) {
  const { agent, paths } = await bareGuest(await hostWithImages(inject('sharedHome')), name, 1024);
  const signal = AbortSignal.timeout(240_000);
  async function sh(command: string): Promise<string> {
    let output = '';
    const take = (bytes: Uint8Array): void => void (output += Buffer.from(bytes).toString());
    const program = { kind: 'argv', argv: ['/bin/sh', '-ec', command] } as const;
    const { code } = await agent.exec({ program, onStdout: take, onStderr: take, signal });
    expect(code, output).toBe(0);
    return output.trim();
  }
  return { agent, sh, qmp: paths.qmp, signal };
}

/** A disk image with a small partition and behind it one with a file system; programs of the host make it. */
function makeDisk(directory: string, filesystem: string, label: string): void {
  const script = `
    truncate -s 320M part && mkfs.${filesystem} -q part >/dev/null
    truncate -s 340M ${filesystem}-${label}
    printf 'label: ${label}\\nsize=8M\\nstart=10M, size=320M\\n' | sfdisk -q ${filesystem}-${label}
    dd if=part of=${filesystem}-${label} bs=1M seek=10 conv=notrunc,sparse status=none
    rm part`;
  const env = { ...process.env, PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin` };
  execFileSync('/bin/sh', ['-ec', script], { cwd: directory, env });
}

describe('a disk that grows under a running guest', () => {
  it('gives a file system without partitions the room, but not an overlay, which has none of its own', async () => {
    const { agent, sh, qmp } = await bootGuest(`grow-root-${process.pid}`);
    await expect(agent.growDisk('/')).rejects.toThrow(/overlay/);
    await sh('mkdir /mnt/disk && mount /dev/vda /mnt/disk');
    const same = { device: '/dev/vda', filesystem: 'ext4', partitionGrown: false };
    expect(await agent.growDisk('/mnt/disk')).toMatchObject(same);
    const before = Number(await sh('cat /sys/class/block/vda/size')) * 512;
    using monitor = await QmpClient.connect(qmp);
    await monitor?.execute('block_resize', { 'node-name': 'scratch', size: before + 1024 * MIB });
    await sh(`until [ "$(cat /sys/class/block/vda/size)" -gt ${before / 512} ]; do :; done`);

    const grown = await agent.growDisk('/mnt/disk');
    expect(grown.bytesAfter).toBe(before + 1024 * MIB);
    expect(grown.bytesBefore).toBeLessThanOrEqual(before);
    const again = await agent.growDisk('/mnt/disk/base');
    expect([again.bytesBefore, again.bytesAfter]).toEqual([grown.bytesAfter, grown.bytesAfter]);
    await expect(agent.growDisk('/proc')).rejects.toThrow(/proc/);
    await expect(agent.growDisk('/no/such')).rejects.toThrow(/no such file/);
  });

  it('gives the last partition and its file system the room', async () => {
    const disks = [
      { filesystem: 'ext4', label: 'gpt' },
      { filesystem: 'xfs', label: 'gpt' },
      { filesystem: 'btrfs', label: 'gpt' },
      { filesystem: 'ext4', label: 'dos' },
    ];
    const directory = await temporaryDirectory();
    for (const { filesystem, label } of disks) makeDisk(directory, filesystem, label);
    execFileSync('tar', ['--sparse', '-cf', 'disks.tar', ...disks.map((disk) => `${disk.filesystem}-${disk.label}`)], {
      cwd: directory,
    });
    const { agent, sh, signal } = await bootGuest(`grow-parts-${process.pid}`);
    await agent.putFile(path.join(directory, 'disks.tar'), '/root/disks.tar', { signal });
    await sh('cd /root && tar -xf disks.tar && modprobe -a loop xfs btrfs');
    for (const { filesystem, label } of disks) {
      const file = `/root/${filesystem}-${label}`;
      const loop = await sh(`losetup -P -f --show ${file}`);
      await sh(`mkdir -p /mnt/d && mount ${loop}p2 /mnt/d && echo kept >/mnt/d/file`);
      await sh(`truncate -s 1G ${file} && losetup -c ${loop}`);
      const grown = await agent.growDisk('/mnt/d/file');
      expect(grown, file).toMatchObject({ device: `${loop}p2`, filesystem, partitionGrown: true });
      expect(grown.bytesBefore).toBe(320 * MIB);
      expect(grown.bytesAfter).toBeGreaterThan(1000 * MIB);
      expect(await agent.growDisk('/mnt/d')).toMatchObject({ partitionGrown: false, bytesAfter: grown.bytesAfter });
      // What is on the disk is what the next boot will find.
      await sh(`umount /mnt/d && losetup -d ${loop}`);
      const next = await sh(`losetup -P -f --show ${file}`);
      expect(await sh(`mount ${next}p2 /mnt/d && cat /mnt/d/file`)).toBe('kept');
      expect(Number(await sh(`cat /sys/class/block/${path.basename(next)}p2/size`)) * 512).toBeGreaterThan(1000 * MIB);
      await sh(`umount /mnt/d && losetup -d ${next}`);
    }
  });
});
