import path from 'node:path';

import { canonicalName, DOCKER_HUB, parseRegistryHost, type Reference, type RegistryReference } from './reference.js';

/**
 * Whether a glob of a host file's `limits.images` means an image.
 *
 * A star stands for anything but a slash, two stars for anything. Docker's rules hold for globs as for names: `node` is
 * `docker.io/library/node`. Without a tag and a digest a glob means all of them. With a tag it means that tag and no digest: a digest
 * decides what is run whatever tag stands before it.
 */
export function globMeans(glob: string, reference: Reference): boolean {
  if (glob === '**') return true;
  if (reference.kind === 'registry') return registryGlobMeans(glob, reference);
  // Paths as they are, or a glob could be left with dots.
  const name = 'path' in reference ? { ...reference, path: path.resolve(reference.path) } : reference;
  return matches(glob, canonicalName(name));
}

function registryGlobMeans(glob: string, { registry, repository, tag, digest }: RegistryReference): boolean {
  const [beforeDigest = '', digestGlob] = glob.split('@', 2);
  const colon = beforeDigest.lastIndexOf(':');
  const hasTag = colon >= 0 && !beforeDigest.includes('/', colon);
  const name = hasTag ? beforeDigest.slice(0, colon) : beforeDigest;
  const tagGlob = hasTag ? beforeDigest.slice(colon + 1) : undefined;
  if (!matches(wholeName(name), `${registry}/${repository}`)) return false;
  if (digestGlob !== undefined) {
    return (
      digest !== undefined && matches(digestGlob, digest) && (tagGlob === undefined || matches(tagGlob, tag ?? ''))
    );
  }
  return tagGlob === undefined || (digest === undefined && matches(tagGlob, tag ?? ''));
}

/** With the registry that docker's rules put before it. */
function wholeName(glob: string): string {
  const slash = glob.indexOf('/');
  const first = slash < 0 ? '' : glob.slice(0, slash);
  if (first.includes('*')) return glob;
  if (/[.:]/.test(first) || first.toLowerCase() === 'localhost') {
    return `${parseRegistryHost(first) ?? first}${glob.slice(slash)}`;
  }
  return slash < 0 ? `${DOCKER_HUB}/library/${glob}` : `${DOCKER_HUB}/${glob}`;
}

function matches(glob: string, text: string): boolean {
  const pattern = glob
    .split(/(\*\*|\*)/)
    .map((part) => (part === '**' ? '.*' : part === '*' ? '[^/]*' : part.replaceAll(/[\\^$.*+?()[\]{}|]/g, '\\$&')))
    .join('');
  return new RegExp(`^${pattern}$`, 's').test(text);
}
