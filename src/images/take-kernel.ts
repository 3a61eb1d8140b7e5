import { copyFile, mkdir, readdir, readFile, rename, rm } from 'node:fs/promises';
import path from 'node:path';

import { VmRunnerError } from '../core/errors.js';
import { fileStep } from './file-step.js';
import { ROOT_FILES } from './image-directory.js';
import { moduleLoadOrder } from './kernel-modules.js';

export interface KernelFacts {
  /** Of the Debian package. */
  readonly kernelVersion: string;
  /** File names below `modules/`, in the order of loading. */
  readonly modules: readonly string[];
}

/** Moves the kernel out of a Debian tree and copies the modules that must be there before the tree is. */
export async function takeKernel(wanted: readonly string[], tree: string, directory: string): Promise<KernelFacts> {
  const source = await modulesDirectory(tree);
  const order = moduleLoadOrder(
    wanted,
    await readText(path.join(source, 'modules.dep')),
    await readText(path.join(source, 'modules.builtin')),
  );
  const target = path.join(directory, ROOT_FILES.modules);
  await fileStep('make a directory', target, mkdir(target));
  for (const file of order) {
    const from = path.join(source, file);
    await fileStep('copy a module', from, copyFile(from, path.join(target, path.basename(file))));
  }
  const kernel = path.join(tree, 'boot/vmlinuz');
  await fileStep('move the kernel', kernel, rename(kernel, path.join(directory, ROOT_FILES.kernel)));
  const versionFile = path.join(tree, 'boot/vmlinuz.version');
  const kernelVersion = (await readText(versionFile)).trim();
  await fileStep('remove a file', versionFile, rm(versionFile));
  return { kernelVersion, modules: order.map((file) => path.basename(file)) };
}

async function modulesDirectory(tree: string): Promise<string> {
  const parent = path.join(tree, 'usr/lib/modules');
  const [version, ...others] = await fileStep('list the modules', parent, readdir(parent));
  if (version === undefined || others.length > 0) {
    throw new VmRunnerError('image-build-failed', 'not exactly one kernel in the default image', { subject: parent });
  }
  return path.join(parent, version);
}

function readText(file: string): Promise<string> {
  return fileStep('read a file', file, readFile(file, 'utf8'));
}
