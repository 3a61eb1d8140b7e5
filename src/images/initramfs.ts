import { cpioArchive, type CpioEntry } from './cpio.js';

export interface InitramfsModule {
  /** File name, such as `virtio_pci.ko`. */
  readonly name: string;
  readonly data: Uint8Array;
}

const DIRECTORIES: readonly string[] =
  'base dev etc etc/vm-agent image lib lib/modules lower proc root run scratch sys'.split(' ');

/**
 * The file system that the kernel starts with: the agent as /init, the modules it loads before there is a root, and the
 * places where it mounts: the scratch disk, the read-only images, the roots made of both. The agent stays there as PID 1
 * for the guest's life.
 *
 * @param modules in the order of loading, which /etc/vm-agent/modules tells the agent
 */
export function buildInitramfs(agent: Uint8Array, modules: readonly InitramfsModule[]): Buffer {
  const order = modules.map((module) => `${module.name}\n`).join('');
  return cpioArchive([
    ...DIRECTORIES.map((path): CpioEntry => ({ kind: 'directory', path })),
    { kind: 'directory', path: 'tmp', mode: 0o1777 },
    // The kernel opens it for /init before anything could mount devtmpfs.
    { kind: 'character-device', path: 'dev/console', major: 5, minor: 1 },
    { kind: 'file', path: 'init', data: agent, mode: 0o755 },
    { kind: 'file', path: 'etc/vm-agent/modules', data: Buffer.from(order) },
    ...modules.map(({ name, data }): CpioEntry => ({ kind: 'file', path: `lib/modules/${name}`, data })),
  ]);
}
