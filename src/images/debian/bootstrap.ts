import { VmRunnerError } from '../../core/errors.js';
import type { tryProgram } from '../../process/run.js';
import { BUILD_TOOLS, type HostTool } from './host-tools.js';
import type { Recipe } from './recipe.js';

/** How mmdebstrap gets a root's powers over the new tree. */
export type BootstrapMode = 'unshare' | 'root';

/** The host, as far as building depends on it. */
export interface BuildHost {
  readonly platform: string;
  /** In Node's words: `x64`, `arm64`. */
  readonly architecture: string;
  readonly uid: number;
  /** Contents of /etc/os-release. */
  readonly osRelease: string;
}

/** Debian's keys, which other distributions do not trust by themselves. */
export const DEBIAN_KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';

/** Everything that this host must have to build the default image. */
export function buildTools(host: BuildHost): readonly HostTool[] {
  return [
    ...BUILD_TOOLS,
    ...(needsKeyring(host) ? [{ file: DEBIAN_KEYRING, package: 'debian-archive-keyring' }] : []),
    // Others than root build through user namespaces. mmdebstrap only recommends the package, and cannot without it.
    ...(host.uid === 0 ? [] : [{ program: 'newuidmap', package: 'uidmap', versionArgument: '--help' }]),
  ];
}

function needsKeyring(host: BuildHost): boolean {
  return !/^ID="?debian"?$/m.test(host.osRelease);
}

/** The command line that makes a tar file of a Debian tree. */
export function bootstrapArguments(
  recipe: Recipe,
  options: {
    readonly mode: BootstrapMode;
    readonly host: BuildHost;
    readonly proxy: string | undefined;
    readonly output: string;
  },
): string[] {
  return [
    'mmdebstrap',
    `--mode=${options.mode}`,
    '--format=tar',
    '--variant=minbase',
    `--architectures=${recipe.architecture}`,
    `--include=${recipe.packages.join(',')}`,
    '--aptopt=APT::Install-Recommends "false"',
    ...(options.proxy === undefined ? [] : [`--aptopt=Acquire::http::Proxy "${options.proxy}"`]),
    ...recipe.excludedPaths.map((path) => `--dpkgopt=path-exclude=${path}`),
    ...recipe.keptPaths.map((path) => `--dpkgopt=path-include=${path}`),
    ...(needsKeyring(options.host) ? [`--keyring=${DEBIAN_KEYRING}`] : []),
    `--customize-hook=${recipe.customizeHook}`,
    recipe.suite,
    // No mirror: mmdebstrap knows Debian's own, with its updates and security archives.
    options.output,
  ];
}

/**
 * The first mode that works here, found out by doing.
 * @throws host-unsupported with what to do when none does.
 */
export async function chooseMode(host: BuildHost, run: typeof tryProgram, searchPath: string): Promise<BootstrapMode> {
  const env = { PATH: searchPath };
  const probe = await run(['mmdebstrap', '--unshare-helper', 'true'], { env, timeoutMs: 20_000 });
  if (probe.exitCode === 0) return 'unshare';
  if (host.uid === 0) return 'root';
  throw new VmRunnerError('host-unsupported', 'the default image cannot be built as this user', {
    hint:
      'Install the package uidmap and give the user ranges in /etc/subuid and /etc/subgid' +
      ' (usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER), or run vm-runner as root.',
    detail: `${probe.stdout}\n${probe.stderr}`.trim(),
  });
}

/** The proxy that apt on this host goes through; `undefined` without one, or without apt. */
export async function hostAptProxy(run: typeof tryProgram, searchPath: string): Promise<string | undefined> {
  const result = await run(['apt-config', 'dump', '--format', '%v', 'Acquire::http::Proxy'], {
    env: { PATH: searchPath },
    timeoutMs: 10_000,
  });
  const proxy = result.exitCode === 0 ? result.stdout.trim() : '';
  return /^https?:\/\/[^\s"]+$/.test(proxy) ? proxy : undefined;
}
