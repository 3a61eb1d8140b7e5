export type EntryKind = 'file' | 'hardlink' | 'symlink' | 'character-device' | 'block-device' | 'directory' | 'fifo';

/** An extended attribute. Its name is bytes, as {@link LayerEntry.path} is. */
export interface Xattr {
  readonly name: string;
  readonly value: Buffer;
}

/**
 * One entry of a layer: all that its tar says of a file but the file's bytes. Whiteouts are entries like any other.
 *
 * Names on Linux are bytes and not text, so they are kept as strings with one character per byte (`latin1`), whose order is
 * the order of their bytes.
 */
export interface LayerEntry {
  readonly kind: EntryKind;
  /** Without slashes at its ends, `.` or `..`; empty for the root itself. */
  readonly path: string;
  /** Permission bits with setuid, setgid and sticky. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Whole seconds since 1970, perhaps negative, and nanoseconds to add. */
  readonly seconds: number;
  readonly nanoseconds: number;
  /** Bytes of a file; 0 for all others. */
  readonly size: number;
  /** Where a file begins in the layer's data, in blocks. */
  readonly block: number;
  /** Where a symbolic link points, as it stands; for a hard link the path of another entry. */
  readonly target: string;
  readonly major: number;
  readonly minor: number;
  readonly xattrs: readonly Xattr[];
}

export const NO_XATTRS: readonly Xattr[] = [];
