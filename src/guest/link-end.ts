import { lstat } from 'node:fs/promises';
import path from 'node:path';

import { fileError, systemCode } from '../core/errors.js';

/** The kernel's own limit. */
const MOST_LINKS_ON_A_WAY = 40;

/**
 * Whether a link of an archive leads through a link that was in the directory before: nobody knows where to, and whoever
 * reads the new one takes it for the guest's.
 *
 * @param links all that the archive made, by name, with what they point to
 */
export async function leadsThroughForeignLink(
  root: string,
  name: string,
  links: ReadonlyMap<string, string>,
): Promise<boolean> {
  const here: string[] = [];
  const ahead = partsOf(name);
  for (let followed = 0; ahead.length > 0;) {
    const part = ahead.shift() ?? '';
    if (part === '..') {
      // More of them than there are directories: the end is outside in any case.
      if (here.pop() === undefined) return true;
      continue;
    }
    here.push(part);
    switch (await kindOf(path.join(root, ...here))) {
      case 'other':
        break;
      case 'missing':
        return false;
      case 'link': {
        const target = links.get(here.join('/'));
        followed += 1;
        if (target === undefined) return true;
        // A circle leads nowhere.
        if (followed > MOST_LINKS_ON_A_WAY) return false;
        here.pop();
        ahead.unshift(...partsOf(target));
      }
    }
  }
  return false;
}

function partsOf(name: string): string[] {
  return name.split('/').filter((part) => part !== '' && part !== '.');
}

async function kindOf(at: string): Promise<'link' | 'other' | 'missing'> {
  try {
    return (await lstat(at)).isSymbolicLink() ? 'link' : 'other';
  } catch (cause) {
    if (['ENOENT', 'ENOTDIR', 'ENAMETOOLONG'].includes(systemCode(cause) ?? '')) return 'missing';
    throw fileError('look at a path', at, cause);
  }
}
