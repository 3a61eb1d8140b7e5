import path from 'node:path';

import { VmRunnerError } from '../../core/errors.js';
import type { Log } from '../../core/log.js';
import { runProgram, tryProgram } from '../../process/run.js';
import { bootstrapArguments, buildTools, chooseMode, hostAptProxy, type BuildHost } from './bootstrap.js';
import { buildStep, saysDiskFull } from './build-progress.js';
import { checkHostTools } from './host-tools.js';
import type { Recipe } from './recipe.js';

export interface BuildContext {
  readonly host: BuildHost;
  readonly searchPath: string;
  readonly log: Log;
  readonly signal: AbortSignal;
}

/** Writes the tar of a whole system. */
export type TarBuilder = (recipe: Recipe, output: string, context: BuildContext) => Promise<void>;

const BOOTSTRAP_TIMEOUT_MS = 30 * 60_000;

/** Makes a system of Debian packages with mmdebstrap. */
export const buildDebianTar: TarBuilder = async (recipe, output, context) => {
  const { host, log, searchPath } = context;
  await checkHostTools(buildTools(host), searchPath);
  const mode = await chooseMode(host, tryProgram, searchPath);
  const proxy = await hostAptProxy(tryProgram, searchPath);
  log.info(
    `building the default image: Debian ${recipe.suite} with ${recipe.packages.length} packages, once on this host`,
  );
  // Where mmdebstrap makes its tree, whatever a CI job has as TMPDIR. Without root its user cannot enter the store, nor a job's
  // private directory; with mode root a half-made tree may have the host's /dev mounted in it, and must not be where the
  // store is cleared of what was abandoned.
  const temporary = host.uid === 0 && mode === 'unshare' ? path.dirname(output) : '/tmp';
  await bootstrap(bootstrapArguments(recipe, { mode, host, proxy, output }), temporary, context);
};

async function bootstrap(
  argv: readonly string[],
  temporary: string,
  { log, searchPath, signal }: BuildContext,
): Promise<void> {
  let diskFull: string | undefined;
  const onLine = (line: string): void => {
    const step = buildStep(line);
    if (step !== undefined) log.progress(step);
    if (saysDiskFull(line)) diskFull ??= line;
  };
  // Messages in English, for the patterns above.
  const env = { PATH: searchPath, LC_ALL: 'C.UTF-8', TMPDIR: temporary };
  try {
    await runProgram(argv, { env, signal, timeoutMs: BOOTSTRAP_TIMEOUT_MS, onLine });
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
