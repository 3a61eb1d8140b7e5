/** Image disks that a VM can have besides the base root, in slots 1 to this. */
export const IMAGE_SLOTS = 8;

/** How a QEMU that shows a base root to another one calls it. */
export const BASE_EXPORT = 'base';

/** The files behind the disks of a VM. */
export interface DiskFiles {
  /** The VM's own, a qcow2 overlay: the only one that a guest can write to. */
  readonly scratch: string;
  /** The base root in slot 0: a VMDK descriptor, or where another QEMU shows it. */
  readonly base: { readonly vmdk: string } | { readonly nbd: string };
  /** The image of the job, a VMDK descriptor: slot 1. `undefined`: it runs in the base root. */
  readonly image: string | undefined;
  /** What a slot without an image shows: an empty qcow2 file. */
  readonly emptySlot: string;
}

/**
 * QEMU's arguments for all disks. Every VM has the same ones in the same order, since a saved guest believes in the devices
 * that it was saved with; only the files behind them differ. The guest tells them apart by their serial numbers.
 */
export function diskArguments(files: DiskFiles): string[] {
  const slots = Array.from({ length: IMAGE_SLOTS }, (_, index) => index + 1);
  return [
    ...disk('scratch', scratch(files.scratch)),
    ...disk('slot0', 'vmdk' in files.base ? imageDisk(files.base.vmdk) : exported(files.base.nbd)),
    ...slots.flatMap((slot) =>
      disk(
        `slot${slot}`,
        slot === 1 && files.image !== undefined ? imageDisk(files.image) : emptySlot(files.emptySlot),
      ),
    ),
  ];
}

function disk(name: string, backend: Readonly<Record<string, unknown>>): string[] {
  const blockdev = JSON.stringify({ 'node-name': name, ...backend });
  return ['-blockdev', blockdev, '-device', `virtio-blk-pci,drive=${name},serial=${name}`];
}

function scratch(filename: string): Readonly<Record<string, unknown>> {
  // The state of a VM is worth nothing after a crash of the host: a guest's fsync need not reach the disk.
  const cache = { 'no-flush': true };
  return { driver: 'qcow2', discard: 'unmap', cache, file: { driver: 'file', filename, discard: 'unmap' } };
}

/** An image as QEMU reads it. */
export function imageDisk(filename: string): Readonly<Record<string, unknown>> {
  return { driver: 'vmdk', 'read-only': true, file: { driver: 'file', filename } };
}

/** @param path a socket where export.ts serves it */
function exported(path: string): Readonly<Record<string, unknown>> {
  return { driver: 'nbd', 'read-only': true, server: { type: 'unix', path }, export: BASE_EXPORT };
}

/** One file is in many slots and in many VMs at once, and nobody ever writes to it: locks on it have no use. */
function emptySlot(filename: string): Readonly<Record<string, unknown>> {
  return { driver: 'qcow2', 'read-only': true, file: { driver: 'file', filename, locking: 'off' } };
}
