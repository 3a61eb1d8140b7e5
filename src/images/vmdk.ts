/** A file that is a part of a disk. */
export interface Extent {
  /** Relative to the descriptor, or absolute. */
  readonly file: string;
  /** A multiple of sectors. */
  readonly bytes: number;
}

const SECTOR_BYTES = 512;
/** 2 GiB: what an extent of this kind may have. */
const MOST_SECTORS = 4_194_304;
const HEADS = 16;
const SECTORS_PER_TRACK = 63;

/**
 * A VMDK descriptor: a text that makes one disk of files laid end to end, which QEMU opens without copying them.
 *
 * QEMU 7.2 counts the first extent twice without the comment before the extents.
 */
export function vmdkDescriptor(extents: readonly Extent[]): string {
  const lines: string[] = [];
  let sectors = 0;
  for (const { file, bytes } of extents) {
    const count = bytes / SECTOR_BYTES;
    for (let at = 0; at < count; at += MOST_SECTORS) {
      lines.push(`RW ${Math.min(MOST_SECTORS, count - at)} FLAT "${file}" ${at}`);
    }
    sectors += count;
  }
  return `# Disk DescriptorFile
version=1
CID=fffffffe
parentCID=ffffffff
createType="twoGbMaxExtentFlat"

# Extent description
${lines.join('\n')}

# The Disk Data Base
#DDB
ddb.virtualHWVersion = "4"
ddb.geometry.cylinders = "${Math.ceil(sectors / (HEADS * SECTORS_PER_TRACK))}"
ddb.geometry.heads = "${HEADS}"
ddb.geometry.sectors = "${SECTORS_PER_TRACK}"
ddb.adapterType = "ide"
`;
}
