import { mkdir, readFile, rm, stat } from 'node:fs/promises';
import path from 'node:path';

import { VmRunnerError } from '../core/errors.js';
import type { Log } from '../core/log.js';
import { formatDuration } from '../core/units.js';
import { runProgram, tryProgram } from '../process/run.js';
import { bootstrapArguments, buildTools, chooseMode, hostAptProxy, type BuildHost } from './bootstrap.js';
import { buildStep, saysDiskFull } from './build-progress.js';
import { installedPackages } from './dpkg-status.js';
import { fileStep } from './file-step.js';
import { checkHostTools } from './host-tools.js';
import { ROOT_FILES, type RootDescription } from './image-directory.js';
import type { Recipe } from './recipe.js';
import { asFakeRoot, makeDiskArguments } from './root-disk.js';
import { takeKernel } from './take-kernel.js';

export interface BuildContext {
  readonly host: BuildHost;
  readonly searchPath: string;
  readonly log: Log;
  readonly signal: AbortSignal;
}

/** Builds a root disk, its kernel and the modules for booting into an empty directory. Leaves nothing else there. */
export type RootBuilder = (recipe: Recipe, directory: string, context: BuildContext) => Promise<RootDescription>;

const BOOTSTRAP_TIMEOUT_MS = 30 * 60_000;
const DISK_TIMEOUT_MS = 10 * 60_000;

/** Builds a root disk from Debian packages with mmdebstrap. */
export const buildDebianRoot: RootBuilder = async (recipe, directory, context) => {
  const started = performance.now();
  const { host, log, searchPath } = context;
  await checkHostTools(buildTools(host), searchPath);
  const mode = await chooseMode(host, tryProgram, searchPath);
  const proxy = await hostAptProxy(tryProgram, searchPath);

  const at = (name: string): string => path.join(directory, name);
  const [tar, tree, owners, disk] = [at('root.tar'), at('tree'), at('owners'), at(ROOT_FILES.rootDisk)];
  log.info(
    `building the default image: Debian ${recipe.suite} with ${recipe.packages.length} packages, once on this host`,
  );
  // Where mmdebstrap makes its tree, whatever a CI job has as TMPDIR. Without root its user cannot enter the store, nor a job's
  // private directory; with mode root a half-made tree may have the host's /dev mounted in it, and must not be where the
  // store is cleared of what was abandoned.
  const temporary = host.uid === 0 && mode === 'unshare' ? directory : '/tmp';
  const argv = bootstrapArguments(recipe, { mode, host, proxy, output: tar });
  await runStep(argv, context, BOOTSTRAP_TIMEOUT_MS, { TMPDIR: temporary });

  log.progress('making the disk');
  await fileStep('make a directory', tree, mkdir(tree));
  // Devices come from devtmpfs in the guest, and not every host lets even root make them.
  const unpack = ['tar', '-x', '--numeric-owner', '--exclude=./dev/*', '-C', tree, '-f', tar];
  await runStep(asFakeRoot({ save: owners }, unpack), context, DISK_TIMEOUT_MS);
  await fileStep('remove a file', tar, rm(tar));
  const { kernelVersion, modules } = await takeKernel(recipe.bootModules, tree, directory);
  const status = path.join(tree, 'var/lib/dpkg/status');
  const packages = installedPackages(await fileStep('read the list of packages', status, readFile(status, 'utf8')));

  const { stdout, stderr } = await tryProgram(['mke2fs', '-V'], { env: { PATH: searchPath } });
  const makeDisk = makeDiskArguments(recipe, stdout + stderr, tree, disk);
  await runStep(asFakeRoot({ load: owners }, makeDisk), context, DISK_TIMEOUT_MS);
  await fileStep('remove a directory', tree, rm(tree, { recursive: true }));
  await fileStep('remove a file', owners, rm(owners));

  const { blocks, size } = await fileStep('look at a file', disk, stat(disk));
  const milliseconds = performance.now() - started;
  log.info(`built the default image in ${formatDuration(milliseconds)}`);
  return {
    version: 1,
    kind: 'root',
    suite: recipe.suite,
    architecture: recipe.architecture,
    kernelVersion,
    modules,
    packages,
    rootDiskBytes: blocks * 512,
    rootDiskVirtualBytes: size,
    builtAt: new Date().toISOString(),
    buildSeconds: Math.round(milliseconds / 100) / 10,
  };
};

/** Runs one program of the build; its failure is the build's. */
async function runStep(
  argv: readonly string[],
  { log, searchPath, signal }: BuildContext,
  timeoutMs: number,
  env: Readonly<Record<string, string>> = {},
): Promise<void> {
  let diskFull: string | undefined;
  const onLine = (line: string): void => {
    const step = buildStep(line);
    if (step !== undefined) log.progress(step);
    if (saysDiskFull(line)) diskFull ??= line;
  };
  try {
    // Messages in English, for the patterns above.
    await runProgram(argv, { env: { PATH: searchPath, LC_ALL: 'C.UTF-8', ...env }, signal, timeoutMs, onLine });
  } catch (error) {
    if (!(error instanceof VmRunnerError) || error.code !== 'host-tool-failed') throw error;
    if (diskFull !== undefined) {
      throw new VmRunnerError('disk-full', 'no space left on the disk to build the default image', {
        hint: 'Free some space there and in /tmp, or point VM_RUNNER_HOME to a larger disk.',
        detail: diskFull,
        cause: error,
      });
    }
    throw new VmRunnerError('image-build-failed', `cannot build the default image: ${error.reason}`, {
      hint:
        'Its last lines say why. It needs a Debian mirror, through the proxy that apt on this host is configured with,' +
        ' if any (Acquire::http::Proxy).',
      ...(error.detail === undefined ? {} : { detail: error.detail }),
      cause: error,
    });
  }
}
