/** Something on this host that nobody needs. */
export interface Garbage {
  readonly kind: 'vm' | 'template' | 'image' | 'layer' | 'guest' | 'download' | 'logs' | 'half-made' | 'lock';
  /** A name, a digest or a path, as the kind has it. */
  readonly name: string;
  /** Why it goes. */
  readonly reason: string;
  /** What it takes of the disk. */
  readonly bytes: number;
}

/** How garbage is collected. */
export interface CollectOptions {
  /** Whether it is only told what would go. */
  readonly dryRun: boolean;
  /** Milliseconds since 1970. */
  readonly now: number;
}
