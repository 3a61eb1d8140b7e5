import { NO_XATTRS, type LayerEntry, type Xattr } from '../layer/entry.js';

/** A file of a merged image. Hard links are one node with several names. */
export interface Node {
  /** Never `hardlink`. */
  kind: Exclude<LayerEntry['kind'], 'hardlink'>;
  mode: number;
  uid: number;
  gid: number;
  seconds: number;
  nanoseconds: number;
  size: number;
  /** Where its bytes begin: in which layer (counted from the bottom), and at which block of its data. */
  layer: number;
  block: number;
  target: string;
  major: number;
  minor: number;
  xattrs: readonly Xattr[];
  /** By name; only directories have it. */
  readonly children: Map<string, Node> | undefined;
}

export type Directory = Node & { readonly children: Map<string, Node> };

export function isDirectory(node: Node | undefined): node is Directory {
  return node?.children !== undefined;
}

/** A directory that no layer describes: only what is in it has an entry. */
export function impliedDirectory(): Directory {
  return {
    kind: 'directory',
    mode: 0o755,
    uid: 0,
    gid: 0,
    seconds: 0,
    nanoseconds: 0,
    size: 0,
    layer: 0,
    block: 0,
    target: '',
    major: 0,
    minor: 0,
    xattrs: NO_XATTRS,
    children: new Map(),
  };
}

export function newNode(entry: LayerEntry, kind: Node['kind'], layer: number): Node {
  const node = {
    ...impliedDirectory(),
    kind,
    layer,
    children: kind === 'directory' ? new Map<string, Node>() : undefined,
  };
  describe(node, entry);
  node.size = entry.size;
  node.block = entry.block;
  node.target = entry.target;
  node.major = entry.major;
  node.minor = entry.minor;
  return node;
}

/** Gives a node what an entry says of any kind of file. */
export function describe(node: Node, entry: LayerEntry): void {
  node.mode = entry.mode;
  node.uid = entry.uid;
  node.gid = entry.gid;
  node.seconds = entry.seconds;
  node.nanoseconds = entry.nanoseconds;
  node.xattrs = entry.xattrs.filter(({ name }) => !steersOverlay(name));
}

/** The overlay that a guest lays over the image would act on these. */
function steersOverlay(name: string): boolean {
  return name.startsWith('trusted.overlay.');
}
