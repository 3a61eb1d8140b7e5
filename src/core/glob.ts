/** A glob of a whole path, cut into the directory that it must be below and the glob relative to that. */
export interface SplitGlob {
  readonly directory: string;
  readonly pattern: string;
}

/**
 * Cuts off the literal leading directories: `/w/out/**` is everything below `/w/out`, `/w/a.txt` is `a.txt` in `/w`.
 * @param glob relative ones start at `workingDirectory`, which is absolute
 */
export function splitGlob(glob: string, workingDirectory: string): SplitGlob {
  const parts = glob.split('/').filter((part) => part !== '' && part !== '.');
  const firstMagic = parts.findIndex((part) => /[*?[\]{}]/.test(part));
  const literal = parts.slice(0, firstMagic === -1 ? -1 : firstMagic);
  const rest = parts.slice(literal.length);
  const start = glob.startsWith('/') ? '' : workingDirectory.replace(/\/+$/, '');
  return { directory: [start, ...literal].join('/') || '/', pattern: rest.join('/') || '**' };
}

/** A guest path made absolute: relative ones start at the working directory. */
export function absoluteGuestPath(path: string, workingDirectory: string): string {
  if (path.startsWith('/')) return path;
  return `${workingDirectory.replace(/\/+$/, '')}/${path.replace(/^(\.\/)+/, '')}`;
}
