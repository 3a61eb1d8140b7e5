import type { LayerEntry } from '../layer/entry.js';
import { LAYER_LIMITS, layerError } from '../layer/limits.js';
import { describe, impliedDirectory, isDirectory, newNode, type Directory } from './tree.js';
import { walkTo } from './walk.js';

/** `.wh.NAME` takes NAME of the layers below away. */
const WHITEOUT = '.wh.';
/** Takes everything away that the layers below have in its directory. */
const OPAQUE = '.wh..wh..opq';
/** Reserved by AUFS, whose hard links lie there. */
const RESERVED = '.wh..wh.';
/** Written into layers by eStargz for itself. */
const NOT_OF_THE_IMAGE = new Set(['stargz.index.json', '.no.prefetch.landmark', '.prefetch.landmark']);

/**
 * The tree that layers make when they are laid over each other, the first one at the bottom.
 * https://github.com/opencontainers/image-spec/blob/main/layer.md
 */
export class MergedTree {
  readonly root: Directory = impliedDirectory();
  #layers = 0;
  #entries = 0;

  /** Lays one more layer on top. @throws image-invalid for links to nowhere, or in a circle. */
  add(entries: readonly LayerEntry[]): void {
    this.#entries += entries.length;
    if (this.#entries > LAYER_LIMITS.entries) throw layerError(`image with more than ${LAYER_LIMITS.entries} entries`);
    // Whiteouts are of the layers below only, wherever in the layer they stand: so they come first.
    this.#takeAway(entries);
    for (const entry of entries) {
      const { directory, name } = split(entry.path);
      if (
        name.startsWith(WHITEOUT) ||
        entry.path.startsWith(RESERVED) ||
        (directory === '' && NOT_OF_THE_IMAGE.has(name))
      )
        continue;
      this.#put(entry, directory, name);
    }
    this.#layers += 1;
  }

  #takeAway(entries: readonly LayerEntry[]): void {
    const whiteouts = entries.filter(({ path }) => split(path).name.startsWith(WHITEOUT));
    if (whiteouts.length === 0) return;
    // A directory that this layer makes out of a link below is its own: what the link led to is not meant.
    const own = new Set(entries.filter(({ kind }) => kind === 'directory').map(({ path }) => path));
    const mayFollow = (path: string): boolean => !own.has(path);
    for (const { path } of whiteouts) {
      const { directory, name } = split(path);
      const parent = walkTo(this.root, directory, { make: false, mayFollow });
      if (parent === undefined) continue;
      if (name === OPAQUE) parent.children.clear();
      else if (!name.startsWith(RESERVED)) parent.children.delete(name.slice(WHITEOUT.length));
    }
  }

  #put(entry: LayerEntry, directory: string, name: string): void {
    if (entry.path === '') {
      describe(this.root, entry);
      return;
    }
    const parent = walkTo(this.root, directory, { make: true });
    if (parent === undefined) throw layerError('layer with a path that leads nowhere', entry.path);
    if (entry.kind === 'hardlink') {
      const target = this.#linkTarget(entry);
      parent.children.set(name, target);
      return;
    }
    const present = parent.children.get(name);
    if (entry.kind === 'directory' && isDirectory(present)) describe(present, entry);
    else parent.children.set(name, newNode(entry, entry.kind, this.#layers));
  }

  #linkTarget(entry: LayerEntry) {
    const { directory, name } = split(entry.target);
    const target = walkTo(this.root, directory, { make: false })?.children.get(name);
    if (target !== undefined && !isDirectory(target)) return target;
    const reason = target === undefined ? 'layer with a hard link to nothing' : 'layer with a hard link to a directory';
    throw layerError(reason, entry.path);
  }
}

function split(path: string): { readonly directory: string; readonly name: string } {
  const slash = path.lastIndexOf('/');
  return { directory: slash === -1 ? '' : path.slice(0, slash), name: path.slice(slash + 1) };
}
