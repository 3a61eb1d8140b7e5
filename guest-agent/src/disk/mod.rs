//! Making a mounted file system as large as its disk has become, while it is used. No program of the guest is needed.

mod filesystem;
mod gpt;
mod ioctl;
mod mbr;
mod mount_of;
mod table;
#[cfg(test)]
mod table_tests;

use crate::r#gen::agent::GrowDiskResponse;
use crate::rpc::status::{Code, Status};
use filesystem::FileSystem;
use mount_of::{Device, Mount, Partition};
use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

/// Grows the file system that the path is on, and first its partition if it is in one.
pub fn grow(path: &Path) -> Result<GrowDiskResponse, Status> {
    let Mount { folder, kind, device, is_read_only } = Mount::of(path)?;
    let filesystem = FileSystem::named(&kind, path)?;
    if is_read_only {
        return Err(Status::from_io(&io::Error::from_raw_os_error(libc::EROFS), &path.to_string_lossy()));
    }
    let Device { name, partition, .. } = Device::find(device)?;
    let failed = |error| Status::from_io(&error, &name);
    let disk = File::open(&name).map_err(failed)?;
    // Before anything is changed: what cannot be measured is not to be grown.
    let bytes_before = filesystem.size(&folder, &disk).map_err(failed)?;
    let partition_grown = match &partition {
        Some(partition) => grow_partition(partition)?,
        None => false,
    };
    let available = ioctl::device_size(&disk).map_err(failed)?;
    filesystem.grow(&folder, &disk, available).map_err(|error| match error.raw_os_error() {
        Some(libc::EOPNOTSUPP | libc::ENOTTY | libc::EINVAL) => {
            not_growable(format!("the kernel does not grow this {kind} file system: {name}: {error}"))
        }
        _ => Status::from_io(&error, &name),
    })?;
    let bytes_after = filesystem.size(&folder, &disk).map_err(failed)?;
    Ok(GrowDiskResponse { device: name, filesystem: kind, bytes_before, bytes_after, partition_grown })
}

/// True when it is larger now.
fn grow_partition(partition: &Partition) -> Result<bool, Status> {
    let failed = |error| Status::from_io(&error, &partition.disk);
    let file = OpenOptions::new().read(true).write(true).open(&partition.disk).map_err(failed)?;
    let (size, sector) = (ioctl::device_size(&file).map_err(failed)?, ioctl::sector_size(&file).map_err(failed)?);
    let disk = table::Disk { file: &file, name: &partition.disk, size, sector };
    let end = table::grow(&disk, partition.number, partition.start)?;
    // Also when the table was right already: whoever wrote it may not have told the kernel.
    let size = end.saturating_sub(partition.start);
    if size <= partition.size {
        return Ok(false);
    }
    ioctl::resize_partition(&file, partition.number, partition.start, size).map_err(failed)?;
    Ok(true)
}

fn not_growable(sentence: String) -> Status {
    Status::new(Code::FailedPrecondition, "not-growable", sentence)
}
