import { VmRunnerError } from '../../core/errors.js';
import type { InitramfsModule } from '../initramfs.js';
import type { LayerFiles } from '../layer/read-file.js';
import { moduleLoadOrder } from './kernel-modules.js';

/** What a guest of the default image boots from, out of its layer. */
export interface BootFiles {
  readonly kernel: Buffer;
  /** Of the Debian package. */
  readonly kernelVersion: string;
  /** In the order of loading. */
  readonly modules: readonly InitramfsModule[];
}

const MODULES = 'usr/lib/modules/';
const MOST_BYTES = 64 * 2 ** 20;

/** @param wanted modules that must be there before the root is */
export async function readBootFiles(files: LayerFiles, wanted: readonly string[]): Promise<BootFiles> {
  const read = (path: string): Promise<Buffer> => files.read(path, MOST_BYTES);
  const directory = `${MODULES}${kernelRelease(files)}/`;
  const order = moduleLoadOrder(
    wanted,
    (await read(`${directory}modules.dep`)).toString('utf8'),
    (await read(`${directory}modules.builtin`)).toString('utf8'),
  );
  return {
    kernel: await read('boot/vmlinuz'),
    kernelVersion: (await read('boot/vmlinuz.version')).toString('utf8').trim(),
    modules: await Promise.all(
      order.map(async (path) => ({
        name: path.slice(path.lastIndexOf('/') + 1),
        data: await read(`${directory}${path}`),
      })),
    ),
  };
}

function kernelRelease(files: LayerFiles): string {
  const releases = new Set(files.pathsBelow(MODULES).map((path) => path.slice(MODULES.length).split('/')[0] ?? ''));
  const [release, ...others] = releases;
  if (release === undefined || others.length > 0) {
    throw new VmRunnerError('image-build-failed', 'not exactly one kernel in the default image', { subject: MODULES });
  }
  return release;
}
