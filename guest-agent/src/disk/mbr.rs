//! The MBR: four entries in the first sector, which is written in one piece.

use super::not_growable;
use super::table::{Disk, Plan, put, u32_at};
use crate::rpc::status::Status;

const ENTRIES: usize = 446;
const ENTRY: usize = 16;
const COUNT: usize = 4;
const SIGNATURE: usize = 510;

const TYPE: usize = 4;
/// Cylinder, head and sector of the end, which nobody has used since disks grew larger than they can say.
const END_CHS: usize = 5;
const BEYOND_CHS: [u8; 3] = [0xfe, 0xff, 0xff];
const START: usize = 8;
const LENGTH: usize = 12;

const PROTECTIVE: u8 = 0xee;
const EXTENDED: [u8; 3] = [0x05, 0x0f, 0x85];

pub fn is_table(sector: &[u8]) -> bool {
    sector.get(SIGNATURE..SIGNATURE + 2) == Some(&[0x55, 0xaa])
}

/// Whether it only says that the disk has GPT partitions.
pub fn is_gpt(sector: &[u8]) -> bool {
    entries(sector).any(|entry| kind(entry) == PROTECTIVE)
}

pub fn plan(disk: &Disk<'_>, mut sector: Vec<u8>, number: u32, start: u64) -> Result<Plan, Status> {
    let index = number.checked_sub(1).ok_or_else(|| disk.unknown(number))? as usize;
    if index >= COUNT {
        let name = disk.name;
        return Err(not_growable(format!("partition {number} is a logical one: {name}; only primary ones can grow")));
    }
    let own = entries(&sector).nth(index).unwrap_or_default();
    let length = u64::from(u32_at(own, LENGTH));
    if EXTENDED.contains(&kind(own)) {
        return Err(not_growable(format!("partition {number} is an extended one: {}", disk.name)));
    }
    if kind(own) == 0 || length == 0 || u64::from(u32_at(own, START)) != start {
        return Err(disk.unknown(number));
    }
    if entries(&sector).any(|entry| kind(entry) != 0 && u64::from(u32_at(entry, START)) > start) {
        return Err(disk.in_the_way(number));
    }
    // Start and length have 32 bits each.
    let limit = disk.sectors().min(start + u64::from(u32::MAX)).min(1 << 32);
    let (end, wanted) = (start + length, disk.align(limit));
    if wanted <= end {
        return Ok(Plan { end, writes: Vec::new() });
    }
    let length = u32::try_from(wanted - start).map_err(|_| disk.damaged())?;
    let at = ENTRIES + index * ENTRY;
    put(&mut sector, at + END_CHS, &BEYOND_CHS);
    put(&mut sector, at + LENGTH, &length.to_le_bytes());
    Ok(Plan { end: wanted, writes: vec![disk.write(0, sector)] })
}

/// The sector with a protective entry over the whole disk, or none when it has other entries that somebody wants.
pub fn protective(sector: &[u8], sectors: u64) -> Option<Vec<u8>> {
    let mut used = entries(sector).enumerate().filter(|(_, entry)| kind(entry) != 0);
    let ((index, entry), None) = (used.next()?, used.next()) else { return None };
    let length = u32::try_from(sectors.saturating_sub(u32_at(entry, START).into())).unwrap_or(u32::MAX);
    let mut sector = sector.to_vec();
    let at = ENTRIES + index * ENTRY;
    put(&mut sector, at + END_CHS, &[0xff; 3]);
    put(&mut sector, at + LENGTH, &length.to_le_bytes());
    Some(sector)
}

fn entries(sector: &[u8]) -> impl Iterator<Item = &[u8]> {
    sector.get(ENTRIES..SIGNATURE).unwrap_or_default().chunks_exact(ENTRY)
}

fn kind(entry: &[u8]) -> u8 {
    entry.get(TYPE).copied().unwrap_or_default()
}
