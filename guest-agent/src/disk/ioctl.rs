//! What the kernel is asked of block devices and file systems.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

const BLKPG: u32 = 0x1269;
const BLKSSZGET: u32 = 0x1268;
const BLKGETSIZE64: u32 = 0x8008_1272;
const BLKPG_RESIZE_PARTITION: libc::c_int = 3;

/// The kernel's blkpg_partition.
#[repr(C)]
struct BlockPartition {
    start: i64,
    length: i64,
    number: libc::c_int,
    names: [u8; 128],
}

/// The kernel's blkpg_ioctl_arg.
#[repr(C)]
struct BlockChange {
    operation: libc::c_int,
    flags: libc::c_int,
    length: libc::c_int,
    partition: *mut BlockPartition,
}

pub fn device_size(device: &File) -> io::Result<u64> {
    let mut size = 0_u64;
    call(device, BLKGETSIZE64, &mut size)?;
    Ok(size)
}

/// Of the sectors that partition tables count in.
pub fn sector_size(device: &File) -> io::Result<u64> {
    let mut size: libc::c_int = 0;
    call(device, BLKSSZGET, &mut size)?;
    u64::try_from(size).map_err(|_| io::ErrorKind::InvalidData.into())
}

/// Tells the kernel that a partition that is in use has another size.
pub fn resize_partition(disk: &File, number: u32, start: u64, size: u64) -> io::Result<()> {
    let wrong = |_| io::Error::from_raw_os_error(libc::EINVAL);
    let mut partition = BlockPartition {
        start: i64::try_from(start).map_err(wrong)?,
        length: i64::try_from(size).map_err(wrong)?,
        number: i32::try_from(number).map_err(wrong)?,
        names: [0; 128],
    };
    let length = size_of::<BlockPartition>() as libc::c_int;
    let mut change = BlockChange { operation: BLKPG_RESIZE_PARTITION, flags: 0, length, partition: &raw mut partition };
    call(disk, BLKPG, &mut change)
}

/// `argument` must be what the kernel reads or writes for `request`.
pub fn call<T>(file: &File, request: u32, argument: &mut T) -> io::Result<()> {
    let argument: *mut T = argument;
    // SAFETY: the argument is of the type that the request asks for, and outlives the call.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), request as libc::Ioctl, argument) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
