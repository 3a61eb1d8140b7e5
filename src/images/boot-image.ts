/** An image resolved to files on this host: all that a provider needs to boot it. Nobody writes to these files. */
export interface BootImage {
  /** As the user named it. */
  readonly reference: string;
  /** `sha256:…` over everything that went into it; equal digests are equal guests. */
  readonly digest: string;
  readonly kernel: string;
  readonly initramfs: string;
  /** A raw ext4 image: the base of each VM's overlay. */
  readonly rootDisk: string;
}
