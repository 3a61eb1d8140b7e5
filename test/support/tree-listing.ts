import { execFileSync } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';

import { onTestFinished } from 'vitest';

import { temporaryDirectory } from './temporary-directory.js';

/** Node reads no extended attributes. */
const LIST = `
import hashlib, os, stat, sys
root = sys.argv[1].encode()
def walk(path):
    yield path
    if stat.S_ISDIR(os.lstat(path).st_mode):
        for name in sorted(os.listdir(path)):
            yield from walk(path + b'/' + name)
for path in walk(root):
    s = os.lstat(path)
    digest = hashlib.sha256(open(path, 'rb').read()).hexdigest() if stat.S_ISREG(s.st_mode) else ''
    target = os.readlink(path) if stat.S_ISLNK(s.st_mode) else b''
    is_device = stat.S_ISCHR(s.st_mode) or stat.S_ISBLK(s.st_mode)
    xattrs = sorted((x, os.getxattr(path, x, follow_symlinks=False).hex()) for x in os.listxattr(path, follow_symlinks=False))
    size = 0 if stat.S_ISDIR(s.st_mode) else s.st_size
    device = s.st_rdev if is_device else 0
    print(path[len(root):], oct(s.st_mode), s.st_uid, s.st_gid, device, s.st_nlink, s.st_mtime_ns, size, digest, target, xattrs)
`;

/** A line for every file below a directory, with all that is to be known of it. */
export function listTree(directory: string): string[] {
  const text = execFileSync('python3', ['-c', LIST, directory], { encoding: 'utf8', maxBuffer: 2 ** 28 });
  return text.trimEnd().split('\n');
}

/** What another program makes of an image in a layout; as root, who alone may give files owners and make devices. */
export async function unpackedByUmoci(layout: string, tag: string): Promise<string> {
  const bundle = path.join(await temporaryDirectory(), 'bundle');
  execFileSync('umoci', ['--log=error', 'unpack', '--image', `${layout}:${tag}`, bundle]);
  return path.join(bundle, 'rootfs');
}

/** An image's disk as QEMU shows it, mounted by this host's kernel until the test is over. */
export async function mountedByKernel(disk: string): Promise<string> {
  const directory = await temporaryDirectory();
  const [raw, target] = [path.join(directory, 'raw'), path.join(directory, 'mounted')];
  execFileSync('qemu-img', ['convert', '-f', 'vmdk', '-O', 'raw', disk, raw]);
  execFileSync('fsck.erofs', [raw], { stdio: ['ignore', 'ignore', 'pipe'] });
  await mkdir(target);
  execFileSync('mount', ['-t', 'erofs', '-o', 'ro,loop', raw, target]);
  onTestFinished(() => void execFileSync('umount', [target]));
  return target;
}

export const IS_ROOT = process.getuid?.() === 0;
