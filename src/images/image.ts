/** What an image says about the programs that run in it. Of OCI's and Docker's image configuration what we act on. */
export interface ImageConfig {
  /** `NAME=value`, in order. */
  readonly env: readonly string[];
  /** `name`, `uid`, `name:group` or `uid:gid`; empty: root. */
  readonly user: string;
  /** Empty: `/`. */
  readonly workingDirectory: string;
  readonly entrypoint: readonly string[];
  readonly command: readonly string[];
  /** Absolute paths that the image wants kept out of its layers. */
  readonly volumes: readonly string[];
}

export const EMPTY_CONFIG: ImageConfig = {
  env: [],
  user: '',
  workingDirectory: '',
  entrypoint: [],
  command: [],
  volumes: [],
};

/** An image whose files are on this host: layers and a configuration. Nobody writes to any of its files. */
export interface LocalImage {
  /** As the user named it. */
  readonly reference: string;
  /** Of its manifest: `sha256:…`. */
  readonly digest: string;
  /** A VMDK descriptor that shows all layers as one read-only EROFS disk. */
  readonly disk: string;
  /** Size of that disk. */
  readonly diskBytes: number;
  readonly config: ImageConfig;
}

/** What every VM of this host boots from, whatever image its job runs in. Nobody writes to any of these files. */
export interface BaseGuest {
  /** `sha256:…` over everything below; equal digests are equal guests. */
  readonly digest: string;
  readonly kernel: string;
  readonly initramfs: string;
  /** A raw, sparse, empty ext4 disk of {@link SCRATCH_BYTES}: the base of each VM's writable disk. */
  readonly scratch: string;
  /** The default image, whose disk is in slot 0 of every VM. */
  readonly root: LocalImage;
}

/** Size of the scratch disk, and what a slot promises to a guest before it has an image. */
export const SCRATCH_BYTES = 64 * 2 ** 30;
