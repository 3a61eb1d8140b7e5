import { layerError } from '../layer/limits.js';
import { impliedDirectory, isDirectory, type Directory, type Node } from './tree.js';

/** As many as Linux follows. */
const MOST_LINKS = 40;

/**
 * The directory that a path leads to, where links on the way are followed inside of the root: `lib/x` over `lib -> usr/lib`
 * is in `usr/lib`. What leads above the root stays there.
 *
 * @param make makes what is missing on the way, and replaces what is no directory
 * @returns `undefined` when it is not there and nothing was to be made
 */
export function walkTo(
  root: Directory,
  path: string,
  { make, mayFollow }: { readonly make: boolean; readonly mayFollow?: (path: string) => boolean },
): Directory | undefined {
  if (path === '') return root;
  const way: Directory[] = [root];
  const names: string[] = [];
  let ahead = path.split('/').reverse();
  let links = 0;
  for (let name = ahead.pop(); name !== undefined; name = ahead.pop()) {
    if (name === '' || name === '.') continue;
    if (name === '..') {
      if (way.length > 1) {
        way.pop();
        names.pop();
      }
      continue;
    }
    const here = way.at(-1) ?? root;
    let next: Node | undefined = here.children.get(name);
    if (next?.kind === 'symlink') {
      if (mayFollow?.([...names, name].join('/')) === false) return undefined;
      links += 1;
      if (links > MOST_LINKS) throw layerError('layer with a path through links that lead in a circle', path);
      if (next.target.startsWith('/')) {
        way.length = 1;
        names.length = 0;
      }
      ahead = [...ahead, ...next.target.split('/').reverse()];
      if (ahead.length > MOST_AHEAD) throw layerError('layer with a path through links without an end', path);
      continue;
    }
    if (!isDirectory(next)) {
      if (!make) return undefined;
      next = impliedDirectory();
      here.children.set(name, next);
    }
    if (!isDirectory(next)) return undefined;
    way.push(next);
    names.push(name);
    if (way.length > MOST_AHEAD) throw layerError('layer with a path through links without an end', path);
  }
  return way.at(-1);
}

/** Names that links may put before each other: twice what a path without links can have. */
const MOST_AHEAD = 4096;
