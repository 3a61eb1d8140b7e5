import type { BaseGuest } from './image.js';

/** What a provider booted before there were base guests. Goes when the providers take a {@link BaseGuest}. */
export interface BootImage {
  readonly reference: string;
  readonly digest: string;
  readonly kernel: string;
  readonly initramfs: string;
  readonly rootDisk: string;
}

export function bootImageOf(guest: BaseGuest): BootImage {
  const { digest, kernel, initramfs, scratch, root } = guest;
  return { reference: root.reference, digest, kernel, initramfs, rootDisk: scratch };
}
