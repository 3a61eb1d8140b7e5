//! A disk's partition table: read whole and checked before anything is written, then written in an order in which one whole
//! table is on the disk at any time.

use super::{gpt, mbr, not_growable};
use crate::rpc::status::Status;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Partitions end at multiples of this, as those of all common tools.
const ALIGNMENT: u64 = 1 << 20;

pub struct Disk<'a> {
    pub file: &'a File,
    pub name: &'a str,
    /// Bytes.
    pub size: u64,
    pub sector: u64,
}

pub struct Write {
    pub offset: u64,
    pub bytes: Vec<u8>,
}

/// Where a partition can end, in sectors, and what must be written for it: nothing when it ends there already.
pub struct Plan {
    pub end: u64,
    pub writes: Vec<Write>,
}

/// Makes a partition in the table as large as the disk allows, and returns where it ends. Bytes.
pub fn grow(disk: &Disk<'_>, number: u32, start: u64) -> Result<u64, Status> {
    let plan = plan(disk, number, start)?;
    for write in &plan.writes {
        // Each is on the disk before the next one is begun.
        let written = disk.file.write_all_at(&write.bytes, write.offset).and_then(|()| disk.file.sync_all());
        written.map_err(|error| disk.failed(&error))?;
    }
    let now = self::plan(disk, number, start)?;
    if now.end != plan.end || !now.writes.is_empty() {
        return Err(disk.failed(&io::Error::other("the partition table is not what was written")));
    }
    Ok(plan.end.saturating_mul(disk.sector))
}

pub fn plan(disk: &Disk<'_>, number: u32, start: u64) -> Result<Plan, Status> {
    if !matches!(disk.sector, 512 | 1024 | 2048 | 4096)
        || disk.size < 64 * disk.sector
        || !start.is_multiple_of(disk.sector)
    {
        return Err(not_growable(format!("a disk with sectors of {} bytes: {}", disk.sector, disk.name)));
    }
    let start = start / disk.sector;
    let first = disk.read(0, 1)?;
    if !mbr::is_table(&first) {
        return Err(not_growable(format!("neither GPT nor MBR partitions are on the disk: {}", disk.name)));
    }
    if mbr::is_gpt(&first) { gpt::plan(disk, &first, number, start) } else { mbr::plan(disk, first, number, start) }
}

impl Disk<'_> {
    pub fn sectors(&self) -> u64 {
        self.size / self.sector
    }

    pub fn read(&self, sector: u64, count: u64) -> Result<Vec<u8>, Status> {
        if count > self.sectors() || sector > self.sectors() - count {
            return Err(self.damaged());
        }
        let mut bytes = vec![0; usize::try_from(count * self.sector).unwrap_or(0)];
        self.file.read_exact_at(&mut bytes, sector * self.sector).map_err(|error| self.failed(&error))?;
        Ok(bytes)
    }

    pub fn write(&self, sector: u64, bytes: Vec<u8>) -> Write {
        Write { offset: sector * self.sector, bytes }
    }

    /// The last aligned end that is not behind this sector.
    pub fn align(&self, end: u64) -> u64 {
        end - end % (ALIGNMENT / self.sector)
    }

    pub fn failed(&self, error: &io::Error) -> Status {
        Status::from_io(error, self.name)
    }

    pub fn damaged(&self) -> Status {
        not_growable(format!("the partition table is damaged, so it is left alone: {}; repair it first", self.name))
    }

    /// The kernel and the table mean different partitions by a number.
    pub fn unknown(&self, number: u32) -> Status {
        not_growable(format!("partition {number} is not in the table as the kernel has it: {}", self.name))
    }

    pub fn in_the_way(&self, number: u32) -> Status {
        not_growable(format!("another partition is behind partition {number}: {}; only the last can grow", self.name))
    }
}

/// A number in little endian; zero outside the bytes.
pub fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

pub fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// Writes nothing outside the bytes.
pub fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    if let Some(place) = bytes.get_mut(at..).and_then(|rest| rest.get_mut(..value.len())) {
        place.copy_from_slice(value);
    }
}
