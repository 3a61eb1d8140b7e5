import { sha256 } from '../digest.js';
import { CUSTOMIZE_HOOK } from './customize-hook.js';

/** All that decides what the default image holds. */
export interface Recipe {
  /** Raised by hand when the way of building changes in a manner that no other field shows. */
  readonly version: number;
  readonly suite: string;
  readonly architecture: string;
  /** Added to Debian's minimal system, without what they only recommend. */
  readonly packages: readonly string[];
  /** Files of packages that are left out, also of those that a job installs later. */
  readonly excludedPaths: readonly string[];
  readonly keptPaths: readonly string[];
  /** Shell script that mmdebstrap runs with the path of the finished tree as `$1`. */
  readonly customizeHook: string;
  /** Modules that the agent needs before there is a root; those they depend on come with them. */
  readonly bootModules: readonly string[];
}

/** The default image: a small Debian that can fetch sources and build with what a job installs. */
export const DEFAULT_RECIPE: Recipe = {
  version: 2,
  suite: 'bookworm',
  architecture: 'amd64',
  packages: [
    'bash',
    'bzip2',
    'ca-certificates',
    'curl',
    'file',
    'git',
    'git-lfs',
    'iproute2',
    'jq',
    'kmod',
    'make',
    'netbase',
    'openssh-client',
    'procps',
    'sudo',
    'unzip',
    'xz-utils',
    'zip',
    'zstd',
  ],
  excludedPaths: [
    '/usr/share/doc/*',
    '/usr/share/info/*',
    '/usr/share/lintian/*',
    '/usr/share/locale/*',
    '/usr/share/man/*',
  ],
  // Licences must stay with what they cover.
  keptPaths: ['/usr/share/doc/*/copyright'],
  customizeHook: CUSTOMIZE_HOOK,
  bootModules: ['virtio_pci', 'virtio_console', 'virtio_blk', 'virtio_net', 'ext4', 'erofs', 'overlay'],
};

/** Name of what a recipe makes. The same recipe has the same name on every host. */
export function recipeKey(recipe: Recipe): string {
  return sha256(JSON.stringify(recipe, sortedKeys));
}

function sortedKeys(_key: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
}
