import { VmRunnerError } from '../core/errors.js';
import type { Log } from '../core/log.js';
import { buildTools, type BuildHost } from '../images/debian/bootstrap.js';
import { checkHostTools, type HostTool } from '../images/debian/host-tools.js';

/** Runs a short program of the host; resolves with its exit code. */
export type HostCommand = (argv: readonly string[]) => Promise<number>;

export interface HostPackagesOptions {
  readonly log: Log;
  readonly host: BuildHost;
  /** Whether the image is there already, so that nothing must be built. */
  readonly isBuilt: boolean;
  readonly searchPath: string;
  readonly run: HostCommand;
  /** Finds out whether one tool is there: throws host-tool-missing when not. */
  readonly check?: typeof checkHostTools;
}

/** What it takes to get the default image booted on this host. */
export function neededTools({ host, isBuilt }: Pick<HostPackagesOptions, 'host' | 'isBuilt'>): readonly HostTool[] {
  return [
    { program: 'qemu-system-x86_64', package: 'qemu-system-x86', versionArgument: '--version' },
    ...(isBuilt ? [] : buildTools(host)),
  ];
}

/**
 * Installs what is missing where that is possible without asking anyone: GitHub's own Ubuntu runners come without QEMU and
 * with sudo. Elsewhere nothing happens, and whoever needs the missing tool says so with the line that installs it; perhaps
 * nobody does.
 * @throws host-tool-failed when apt-get fails.
 */
export async function ensureHostPackages(options: HostPackagesOptions): Promise<void> {
  const packages = await missingPackages(options);
  if (packages.length === 0) return;
  const { log, host, run } = options;
  const asRoot = host.uid === 0 ? [] : ['sudo', '-n'];
  if (!(await succeeds(run, [...asRoot, 'apt-get', '--version']))) return;
  await log.section(`Installing missing packages on this runner: ${packages.join(' ')}`, async () => {
    const apt = [
      ...asRoot,
      'env',
      'DEBIAN_FRONTEND=noninteractive',
      'apt-get',
      '-q',
      '-y',
      '-o',
      'DPkg::Lock::Timeout=120',
    ];
    await mustSucceed(run, [...apt, 'update'], packages);
    await mustSucceed(run, [...apt, 'install', '--no-install-recommends', ...packages], packages);
  });
}

async function missingPackages(options: HostPackagesOptions): Promise<string[]> {
  const { searchPath, check = checkHostTools } = options;
  const packages = await Promise.all(
    neededTools(options).map(async (tool) => {
      try {
        await check([tool], searchPath);
        return undefined;
      } catch (error) {
        if (error instanceof VmRunnerError && error.code === 'host-tool-missing') return tool.package;
        throw error;
      }
    }),
  );
  return [...new Set(packages.filter((name) => name !== undefined))];
}

async function succeeds(run: HostCommand, argv: readonly string[]): Promise<boolean> {
  try {
    return (await run(argv)) === 0;
  } catch {
    // No sudo or no apt-get at all: the same answer.
    return false;
  }
}

async function mustSucceed(run: HostCommand, argv: readonly string[], packages: readonly string[]): Promise<void> {
  const exitCode = await run(argv);
  if (exitCode === 0) return;
  throw new VmRunnerError('host-tool-failed', `apt-get ended with exit code ${exitCode}`, {
    subject: packages.join(' '),
    hint: 'Its output is above. Install the packages in the image of the runner to do without it.',
  });
}
