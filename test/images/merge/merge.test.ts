import { describe, expect, it } from 'vitest';

import { VmRunnerError } from '../../../src/core/errors.js';
import { MergedTree } from '../../../src/images/merge/merge.js';
import type { Node } from '../../../src/images/merge/tree.js';
import { writeLayer, type WrittenEntry } from '../../support/layer-writer.js';
import { parseLayer, seeded } from '../layer/parse-layer.js';

type Layer = readonly WrittenEntry[];

function merge(...layers: readonly Layer[]): MergedTree {
  const tree = new MergedTree();
  for (const layer of layers) tree.add(parseLayer(writeLayer(layer)).entries);
  return tree;
}

/** `path kind mode size` of everything below the root. */
function listing(tree: MergedTree): string[] {
  const lines: string[] = [];
  const visit = (node: Node, path: string): void => {
    lines.push(`${path} ${node.kind} ${node.mode.toString(8)} ${node.size}${node.target}`);
    for (const [name, child] of node.children ?? []) visit(child, path === '' ? name : `${path}/${name}`);
  };
  for (const [name, child] of tree.root.children) visit(child, name);
  return lines.sort();
}

const paths = (tree: MergedTree): string[] => listing(tree).map((line) => line.slice(0, line.indexOf(' ')));
const file = (name: string, data = ''): WrittenEntry => ({ name, data });
const directory = (name: string, mode = 0o755): WrittenEntry => ({ name, flag: '5', mode });
const link = (name: string, target: string): WrittenEntry => ({ name, flag: '2', link: target });
const hard = (name: string, target: string): WrittenEntry => ({ name, flag: '1', link: target });

describe('MergedTree', () => {
  it('lets a directory over a directory change what is said of it, and keep what is in it', () => {
    expect(listing(merge([directory('d', 0o700), file('d/a')], [directory('d', 0o711), file('d/b')]))).toEqual([
      'd directory 711 0',
      'd/a file 644 0',
      'd/b file 644 0',
    ]);
  });

  it('lets anything else take the place of what was there', () => {
    expect(paths(merge([directory('d'), file('d/a')], [file('d')]))).toEqual(['d']);
    expect(paths(merge([file('d')], [directory('d'), file('d/a')]))).toEqual(['d', 'd/a']);
    expect(paths(merge([file('d')], [file('d/a')]))).toEqual(['d', 'd/a']);
    expect(listing(merge([link('d', 'x')], [directory('d')]))).toEqual(['d directory 755 0']);
  });

  it('takes the last of two entries of one path', () => {
    expect(listing(merge([file('a', '1'), file('a', '22')]))).toEqual(['a file 644 2']);
  });

  it('lets whiteouts act on the layers below alone, wherever they stand', () => {
    const below = [directory('d'), file('d/a'), file('d/b')];
    expect(paths(merge(below, [file('d/.wh.a')]))).toEqual(['d', 'd/b']);
    expect(paths(merge(below, [file('.wh.d')]))).toEqual([]);
    expect(listing(merge(below, [file('d/a', 'new'), file('d/.wh.a')]))).toContain('d/a file 644 3');
    expect(listing(merge(below, [file('d/.wh.a'), file('d/a', 'new')]))).toContain('d/a file 644 3');
    expect(paths(merge([file('.wh.a'), file('a')]))).toEqual(['a']);
    expect(paths(merge(below, [file('.wh.never'), file('nor/.wh.this')]))).toEqual(['d', 'd/a', 'd/b']);
  });

  it('empties a directory that is opaque, before or behind what the layer puts in', () => {
    const below = [directory('d', 0o711), file('d/a'), directory('d/e'), file('d/e/f')];
    for (const top of [
      [file('d/.wh..wh..opq'), file('d/new')],
      [file('d/new'), file('d/.wh..wh..opq')],
    ]) {
      expect(listing(merge(below, top))).toEqual(['d directory 711 0', 'd/new file 644 0']);
    }
  });

  it('drops what AUFS and eStargz left in layers', () => {
    const left = ['.wh..wh.plnk/1.2', '.wh..wh.aufs', 'stargz.index.json', '.no.prefetch.landmark'].map((name) =>
      file(name),
    );
    expect(paths(merge([...left, file('d/stargz.index.json')]))).toEqual(['d', 'd/stargz.index.json']);
  });

  it('keeps what the layers below say of a directory that a layer does not mention', () => {
    expect(listing(merge([directory('tmp', 0o1777)], [file('tmp/x')]))).toContain('tmp directory 1777 0');
    expect(listing(merge([file('a/b/c')]))).toEqual(['a directory 755 0', 'a/b directory 755 0', 'a/b/c file 644 0']);
  });

  it('makes hard links one file, also with one of a layer below', () => {
    const tree = merge([file('a', 'x'), hard('b', 'a')], [hard('c', 'b'), file('.wh.a')]);
    const { children } = tree.root;
    expect([...children.keys()]).toEqual(['b', 'c']);
    expect(children.get('b')).toBe(children.get('c'));
  });

  it('refuses hard links to nothing and to directories', () => {
    expect(() => merge([hard('a', 'b')])).toThrow(/hard link to nothing: a/);
    expect(() => merge([directory('d'), hard('a', 'd')])).toThrow(/hard link to a directory: a/);
  });

  it('follows links to directories inside of the root', () => {
    const below = [directory('usr/lib'), link('lib', 'usr/lib'), file('usr/lib/old')];
    expect(paths(merge(below, [file('lib/new')]))).toContain('usr/lib/new');
    expect(paths(merge(below, [file('lib/.wh.old')]))).not.toContain('usr/lib/old');
    expect(paths(merge(below, [file('lib/.wh..wh..opq')]))).not.toContain('usr/lib/old');
    expect(paths(merge([directory('usr/lib'), link('lib', '/usr/lib')], [file('lib/new')]))).toContain('usr/lib/new');
    expect(paths(merge([directory('a'), link('a/up', '../../../b')], [file('a/up/x')]))).toContain('b/x');
    expect(paths(merge([link('a', 'b/c')], [file('a/x')]))).toContain('b/c/x');
  });

  it('takes nothing away behind a link that the layer replaces by a directory', () => {
    const below = [directory('usr/lib'), link('lib', 'usr/lib'), file('usr/lib/old')];
    expect(paths(merge(below, [directory('lib'), file('lib/.wh.old')]))).toContain('usr/lib/old');
  });

  it('refuses links in a circle, and ones that grow without an end', () => {
    expect(() => merge([link('a', 'b'), link('b', 'a')], [file('a/x')])).toThrow(/links that lead in a circle: a/);
    expect(() => merge([link('a', 'a/a/a')], [file('a/x')])).toThrow(/links/);
  });

  it('drops attributes that would steer the overlay over it', () => {
    const xattrs = { 'trusted.overlay.opaque': 'y', 'trusted.other': 'x', 'user.a': 'b' };
    const { children } = merge([{ name: 'a', xattrs }]).root;
    expect(children.get('a')?.xattrs.map(({ name }) => name)).toEqual(['trusted.other', 'user.a']);
  });

  it('gives the root what its entry says', () => {
    expect(merge([{ name: './', flag: '5', mode: 0o700, uid: 5 }]).root).toMatchObject({ mode: 0o700, uid: 5 });
  });

  it('does the same as a naive model, for random stacks of layers without links', () => {
    for (let seed = 0; seed < 400; seed += 1) {
      const layers = randomLayers(seeded(seed));
      expect(paths(merge(...layers)), `seed ${seed}`).toEqual(naive(layers));
    }
  });

  it('never fails but with a sentence of ours, for random stacks with links', () => {
    let merged = 0;
    for (let seed = 0; seed < 400; seed += 1) {
      const random = seeded(seed);
      const layers = randomLayers(random).map((layer) => [
        ...layer,
        link(randomPath(random), ['.', '..', '/', randomPath(random), `../${randomPath(random)}`][random(5)] ?? '.'),
        hard(randomPath(random), randomPath(random)),
        file(`${randomPath(random)}/x`),
      ]);
      try {
        merge(...layers);
        merged += 1;
      } catch (error) {
        if (!(error instanceof VmRunnerError) || error.code !== 'image-invalid') throw error;
      }
    }
    expect(merged).toBeGreaterThan(10);
  });
});

function randomPath(random: (most: number) => number): string {
  return Array.from({ length: 1 + random(3) }, () => 'abc'[random(3)] ?? 'a').join('/');
}

function randomLayers(random: (most: number) => number): WrittenEntry[][] {
  return Array.from({ length: 1 + random(4) }, () =>
    Array.from({ length: random(10) }, () => {
      const path = randomPath(random);
      const slash = path.lastIndexOf('/') + 1;
      const kind = random(8);
      if (kind === 0) return file(`${path.slice(0, slash)}.wh.${path.slice(slash)}`);
      if (kind === 1) return file(`${path}/.wh..wh..opq`);
      return kind < 5 ? directory(path) : file(path);
    }),
  );
}

/** Paths are keys: slow, and too simple to be wrong. Whiteouts first; then each entry with its parents. */
function naive(layers: readonly Layer[]): string[] {
  const tree = new Map<string, 'file' | 'directory'>();
  const removeBelow = (path: string): void => {
    for (const key of [...tree.keys()]) if (key.startsWith(`${path}/`)) tree.delete(key);
  };
  const put = (path: string, kind: 'file' | 'directory'): void => {
    if (tree.get(path) === 'directory' && kind === 'directory') return;
    tree.delete(path);
    removeBelow(path);
    tree.set(path, kind);
  };
  for (const layer of layers) {
    const names = layer.map(
      ({ name, flag }) => ({ name: String(name), kind: flag === '5' ? 'directory' : 'file' }) as const,
    );
    for (const { name } of names) {
      const slash = name.lastIndexOf('/') + 1;
      const last = name.slice(slash);
      if (last === '.wh..wh..opq') {
        if (tree.get(name.slice(0, slash - 1)) === 'directory') removeBelow(name.slice(0, slash - 1));
      } else if (last.startsWith('.wh.')) {
        const victim = `${name.slice(0, slash)}${last.slice(4)}`;
        tree.delete(victim);
        removeBelow(victim);
      }
    }
    for (const { name, kind } of names) {
      if (name.includes('.wh.')) continue;
      const parts = name.split('/');
      for (let depth = 1; depth < parts.length; depth += 1) put(parts.slice(0, depth).join('/'), 'directory');
      put(name, kind);
    }
  }
  return [...tree.keys()].sort((a, b) => (`${a} ` < `${b} ` ? -1 : 1));
}
