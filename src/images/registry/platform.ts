import { VmRunnerError } from '../../core/errors.js';
import { printable } from '../../core/printable.js';
import type { IndexEntry, Platform } from './manifest.js';

/** Variants of an architecture that run here, best first. An index that names none means the usual one. */
const VARIANTS: Readonly<Record<string, readonly (string | undefined)[]>> = {
  // Higher levels of amd64 need processors that not every host has.
  amd64: [undefined, 'v1', 'v2'],
  arm64: ['v8', undefined],
  arm: ['v7', 'v6', undefined, 'v5'],
};
const MOST_SHOWN = 12;

/** Whether content for this platform runs on ours: 0 is the best, `undefined` means it does not. */
export function platformRank(platform: Platform, architecture: string): number | undefined {
  if (platform.os !== 'linux' || platform.architecture !== architecture) return undefined;
  const rank = (VARIANTS[architecture] ?? [undefined]).indexOf(platform.variant);
  return rank < 0 ? undefined : rank;
}

/**
 * The entries of an index that may lead to an image for `linux/<architecture>`, best first: those that say so, else those
 * that say nothing, such as an index in an index. Attestations say `unknown/unknown`.
 */
export function candidates(entries: readonly IndexEntry[], architecture: string): readonly IndexEntry[] {
  const ranked = entries.flatMap((entry) => {
    const rank = entry.platform === undefined ? undefined : platformRank(entry.platform, architecture);
    return rank === undefined ? [] : [{ entry, rank }];
  });
  if (ranked.length > 0) return ranked.sort((a, b) => a.rank - b.rank).map(({ entry }) => entry);
  return entries.filter((entry) => entry.platform === undefined);
}

/** What an index has, for people. */
export function platformsOf(entries: readonly IndexEntry[]): readonly string[] {
  const platforms = entries.flatMap(({ platform }) => (platform === undefined ? [] : [platform]));
  return platforms.filter(({ os }) => os !== 'unknown').map(platformName);
}

export function platformName({ os, architecture, variant }: Platform): string {
  return printable([os, architecture, variant].filter((part) => part !== undefined).join('/')).slice(0, 60);
}

export function noPlatform(architecture: string, present: readonly string[], subject: string): VmRunnerError {
  const some = [...new Set(present)];
  const shown = some.slice(0, MOST_SHOWN).join(', ') + (some.length > MOST_SHOWN ? ', …' : '');
  return new VmRunnerError('image-unavailable', `no image for linux/${architecture}`, {
    subject,
    hint: some.length === 0 ? 'Its index names no platforms.' : `It has: ${shown}.`,
  });
}
