/** One entry of a cpio archive. Paths have no leading slash; parents come before their children. */
export type CpioEntry =
  | { readonly kind: 'directory'; readonly path: string; readonly mode?: number }
  | { readonly kind: 'file'; readonly path: string; readonly data: Uint8Array; readonly mode?: number }
  | {
      readonly kind: 'character-device';
      readonly path: string;
      readonly major: number;
      readonly minor: number;
      readonly mode?: number;
    };

const DIRECTORY = 0o040000;
const FILE = 0o100000;
const CHARACTER_DEVICE = 0o020000;

/**
 * A cpio archive in the format "newc", which the kernel unpacks as its initramfs. All entries belong to root and have the
 * time 0, so that equal entries make equal bytes.
 *
 * Hosts often lack cpio, and it needs root (or fakeroot) to pack a device node.
 * https://docs.kernel.org/driver-api/early-userspace/buffer-format.html
 */
export function cpioArchive(entries: readonly CpioEntry[]): Buffer {
  const parts: Buffer[] = [];
  entries.forEach((entry, index) => parts.push(...encode(entry, index + 1)));
  parts.push(header({ path: 'TRAILER!!!', inode: 0, mode: 0, size: 0, major: 0, minor: 0 }));
  return Buffer.concat(parts);
}

function encode(entry: CpioEntry, inode: number): Buffer[] {
  const { path } = entry;
  switch (entry.kind) {
    case 'directory':
      return [header({ path, inode, mode: DIRECTORY | (entry.mode ?? 0o755), size: 0, major: 0, minor: 0 })];
    case 'file': {
      const size = entry.data.length;
      const head = header({ path, inode, mode: FILE | (entry.mode ?? 0o644), size, major: 0, minor: 0 });
      return [head, Buffer.from(entry.data), padding(size)];
    }
    case 'character-device': {
      const { major, minor } = entry;
      return [header({ path, inode, mode: CHARACTER_DEVICE | (entry.mode ?? 0o600), size: 0, major, minor })];
    }
  }
}

interface Header {
  readonly path: string;
  readonly inode: number;
  readonly mode: number;
  readonly size: number;
  readonly major: number;
  readonly minor: number;
}

function header({ path, inode, mode, size, major, minor }: Header): Buffer {
  const name = Buffer.from(`${path}\0`);
  // inode, mode, uid, gid, links, time, size, device (two), device node (two), length of the name, checksum (unused)
  const fields = [inode, mode, 0, 0, 1, 0, size, 0, 0, major, minor, name.length, 0];
  const numbers = fields.map((field) => field.toString(16).padStart(8, '0')).join('');
  const head = Buffer.concat([Buffer.from(`070701${numbers}`), name]);
  return Buffer.concat([head, padding(head.length)]);
}

function padding(length: number): Buffer {
  return Buffer.alloc((4 - (length % 4)) % 4);
}
