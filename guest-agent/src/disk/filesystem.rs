//! Size and growth of the file systems that can grow while they are mounted.

use super::{ioctl, not_growable};
use crate::rpc::status::Status;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

const EXT4_IOC_RESIZE_FS: u32 = 0x4008_6610;
const XFS_IOC_FSGEOMETRY_V1: u32 = 0x8070_5864;
const XFS_IOC_FSGROWFSDATA: u32 = 0x4010_586e;
/// Fewer blocks than this make no allocation group, so asking for them is an error.
const XFS_FEWEST_BLOCKS: u64 = 64;
const BTRFS_IOC_RESIZE: u32 = 0x5000_9403;
const BTRFS_IOC_DEV_INFO: u32 = 0xd000_941e;
const BTRFS_IOC_FS_INFO: u32 = 0x8400_941f;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FileSystem {
    Ext4,
    Xfs,
    Btrfs,
}

/// The kernel's xfs_fsop_geom_v1, of which only the sizes matter here.
#[repr(C)]
struct XfsGeometry {
    block_size: u32,
    _unused: [u32; 6],
    inodes_percent: u32,
    blocks: u64,
    _rest: [u64; 9],
}

/// The kernel's xfs_growfs_data.
#[repr(C)]
struct XfsGrowth {
    blocks: u64,
    inodes_percent: u32,
}

impl FileSystem {
    pub fn named(kind: &str, path: &Path) -> Result<Self, Status> {
        match kind {
            "ext4" => Ok(Self::Ext4),
            "xfs" => Ok(Self::Xfs),
            "btrfs" => Ok(Self::Btrfs),
            _ => {
                let path = path.display();
                Err(not_growable(format!("a file system that cannot grow: {path} is {kind}; use ext4, xfs or btrfs")))
            }
        }
    }

    /// Bytes that it spans on its device, its own structures included.
    pub fn size(self, folder: &File, device: &File) -> io::Result<u64> {
        match self {
            Self::Ext4 => ext4_blocks(device).map(|(blocks, size)| blocks.saturating_mul(size)),
            Self::Xfs => xfs_geometry(folder).map(|xfs| xfs.blocks.saturating_mul(xfs.block_size.into())),
            Self::Btrfs => btrfs_device(folder).map(|(_, size)| size),
        }
    }

    /// Makes it as large as its device. That it is already is no error.
    pub fn grow(self, folder: &File, device: &File, available: u64) -> io::Result<()> {
        match self {
            Self::Ext4 => {
                let (blocks, size) = ext4_blocks(device)?;
                let mut wanted = available / size;
                if wanted <= blocks { Ok(()) } else { ioctl::call(folder, EXT4_IOC_RESIZE_FS, &mut wanted) }
            }
            Self::Xfs => {
                let XfsGeometry { block_size, inodes_percent, blocks, .. } = xfs_geometry(folder)?;
                let wanted = available.checked_div(block_size.into()).unwrap_or(0);
                if wanted < blocks.saturating_add(XFS_FEWEST_BLOCKS) {
                    return Ok(());
                }
                ioctl::call(folder, XFS_IOC_FSGROWFSDATA, &mut XfsGrowth { blocks: wanted, inodes_percent })
            }
            Self::Btrfs => {
                let (number, size) = btrfs_device(folder)?;
                if available.saturating_sub(size) < BTRFS_SECTOR {
                    return Ok(());
                }
                // A descriptor that is not used here, then the text.
                let mut argument = [0_u8; 4096];
                let text = format!("{number}:max");
                if let Some(place) = argument.get_mut(8..8 + text.len()) {
                    place.copy_from_slice(text.as_bytes());
                }
                ioctl::call(folder, BTRFS_IOC_RESIZE, &mut argument)
            }
        }
    }
}

/// The largest that is used anywhere.
const BTRFS_SECTOR: u64 = 64 << 10;

/// Number and size of the blocks, from the superblock. The kernel keeps it in the device's cache, so this is never old.
fn ext4_blocks(device: &File) -> io::Result<(u64, u64)> {
    let mut block = [0; 1024];
    device.read_exact_at(&mut block, 1024)?;
    let number = |at: usize| {
        let bytes = block.get(at..).and_then(<[u8]>::first_chunk);
        bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes))
    };
    let (low, log_size, incompatible, high) = (number(0x04), number(0x18), number(0x60), number(0x150));
    let is_64_bit = incompatible & 0x80 != 0;
    let magic = number(0x38) & 0xffff;
    if magic != 0xef53 || log_size > 6 {
        return Err(io::Error::other("no ext4 superblock is on the device"));
    }
    Ok((if is_64_bit { u64::from(high) << 32 } else { 0 } | u64::from(low), 1024 << log_size))
}

fn xfs_geometry(folder: &File) -> io::Result<XfsGeometry> {
    let mut geometry = XfsGeometry { block_size: 0, _unused: [0; 6], inodes_percent: 0, blocks: 0, _rest: [0; 9] };
    ioctl::call(folder, XFS_IOC_FSGEOMETRY_V1, &mut geometry)?;
    Ok(geometry)
}

/// Number and size of the only device.
fn btrfs_device(folder: &File) -> io::Result<(u64, u64)> {
    let mut filesystem = [0_u64; 128];
    ioctl::call(folder, BTRFS_IOC_FS_INFO, &mut filesystem)?;
    let [highest, devices, ..] = filesystem;
    if devices != 1 {
        return Err(io::Error::other("the btrfs file system is on several devices; grow each of them by itself"));
    }
    let mut device = [0_u64; 512];
    device[0] = highest;
    ioctl::call(folder, BTRFS_IOC_DEV_INFO, &mut device)?;
    // Its number, its id in two, what is used, what there is.
    let [number, _, _, _, size, ..] = device;
    Ok((number, size))
}
