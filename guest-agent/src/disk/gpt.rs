//! GPT: a header and its entries at the start of the disk, and a backup of both at its end.
//!
//! Only the one at the start must be whole to begin with: images that were written to a larger disk have their backup in the
//! middle, or none. The new backup is on the disk before the start is touched.

use super::mbr;
use super::table::{Disk, Plan, put, u32_at, u64_at};
use crate::rpc::status::Status;

const SIGNATURE: &[u8] = b"EFI PART";
const HEADER_SIZE: usize = 12;
const HEADER_CRC: usize = 16;
const OWN_SECTOR: usize = 24;
const OTHER_SECTOR: usize = 32;
const LAST_USABLE: usize = 48;
const ENTRIES_SECTOR: usize = 72;
const ENTRY_COUNT: usize = 80;
const ENTRY_SIZE: usize = 84;
const ENTRIES_CRC: usize = 88;
const SMALLEST_HEADER: usize = 92;
/// All tools make 128 entries of 128 bytes.
const LARGEST_ENTRIES: usize = 1 << 20;

/// In an entry. Its first 16 bytes are its type, all zero in an unused one.
const TYPE_LENGTH: usize = 16;
const FIRST: usize = 32;
const LAST: usize = 40;

struct Table {
    header: Vec<u8>,
    entries: Vec<u8>,
    entry_size: usize,
    /// Of the entries, in whole sectors.
    sectors: u64,
}

pub fn plan(disk: &Disk<'_>, protective: &[u8], number: u32, start: u64) -> Result<Plan, Status> {
    let mut table = read(disk, 1)?;
    let index = number.checked_sub(1).ok_or_else(|| disk.unknown(number))? as usize;
    let own = table.used().find(|(position, _)| *position == index).map(|(_, entry)| entry);
    let own = own.filter(|entry| u64_at(entry, FIRST) == start).ok_or_else(|| disk.unknown(number))?;
    let end = u64_at(own, LAST).checked_add(1).filter(|end| *end > start).ok_or_else(|| disk.damaged())?;
    if table.used().any(|(_, entry)| u64_at(entry, FIRST) > start) {
        return Err(disk.in_the_way(number));
    }
    let backup = disk.sectors() - 1;
    let backup_entries = backup.checked_sub(table.sectors).ok_or_else(|| disk.damaged())?;
    let wanted = disk.align(backup_entries);
    if wanted <= end {
        return Ok(Plan { end, writes: Vec::new() });
    }

    put(&mut table.entries, index * table.entry_size + LAST, &(wanted - 1).to_le_bytes());
    put(&mut table.header, LAST_USABLE, &(backup_entries - 1).to_le_bytes());
    let crc = crc32fast::hash(table.content());
    put(&mut table.header, ENTRIES_CRC, &crc.to_le_bytes());
    let entries_sector = u64_at(&table.header, ENTRIES_SECTOR);
    let at_start = table.header_at(1, backup, entries_sector);
    let at_end = table.header_at(backup, 1, backup_entries);
    let mut writes = vec![disk.write(backup_entries, [table.entries.as_slice(), &at_end].concat())];
    if entries_sector == 2 {
        // One write, so that a power cut hardly finds a header without its entries.
        writes.push(disk.write(1, [&at_start, table.entries.as_slice()].concat()));
    } else {
        writes.push(disk.write(entries_sector, table.entries));
        writes.push(disk.write(1, at_start));
    }
    writes.extend(mbr::protective(protective, disk.sectors()).map(|sector| disk.write(0, sector)));
    Ok(Plan { end: wanted, writes })
}

/// The table whose header is in this sector, if both checksums say that it is whole.
fn read(disk: &Disk<'_>, sector: u64) -> Result<Table, Status> {
    let header = disk.read(sector, 1)?;
    let size = u32_at(&header, HEADER_SIZE) as usize;
    let is_header = header.starts_with(SIGNATURE) && u64_at(&header, OWN_SECTOR) == sector;
    if !is_header
        || !(SMALLEST_HEADER..=header.len()).contains(&size)
        || header_crc(&header) != u32_at(&header, HEADER_CRC)
    {
        return Err(disk.damaged());
    }
    let (count, entry_size) = (u32_at(&header, ENTRY_COUNT) as usize, u32_at(&header, ENTRY_SIZE) as usize);
    let length = count.checked_mul(entry_size).filter(|length| (1..=LARGEST_ENTRIES).contains(length));
    let (Some(length), 128..) = (length, entry_size) else { return Err(disk.damaged()) };
    let sectors = (length as u64).div_ceil(disk.sector);
    let entries = disk.read(u64_at(&header, ENTRIES_SECTOR), sectors)?;
    let table = Table { header, entries, entry_size, sectors };
    if crc32fast::hash(table.content()) != u32_at(&table.header, ENTRIES_CRC) {
        return Err(disk.damaged());
    }
    Ok(table)
}

impl Table {
    /// The entries without what fills their last sector.
    fn content(&self) -> &[u8] {
        let count = u32_at(&self.header, ENTRY_COUNT) as usize;
        self.entries.get(..count * self.entry_size).unwrap_or_default()
    }

    fn used(&self) -> impl Iterator<Item = (usize, &[u8])> {
        let is_used = |entry: &&[u8]| entry.iter().take(TYPE_LENGTH).any(|byte| *byte != 0);
        self.content().chunks_exact(self.entry_size).enumerate().filter(move |(_, entry)| is_used(entry))
    }

    fn header_at(&self, own: u64, other: u64, entries: u64) -> Vec<u8> {
        let mut header = self.header.clone();
        put(&mut header, OWN_SECTOR, &own.to_le_bytes());
        put(&mut header, OTHER_SECTOR, &other.to_le_bytes());
        put(&mut header, ENTRIES_SECTOR, &entries.to_le_bytes());
        let crc = header_crc(&header);
        put(&mut header, HEADER_CRC, &crc.to_le_bytes());
        header
    }
}

/// Of the header with its own checksum taken as zero.
fn header_crc(header: &[u8]) -> u32 {
    let mut header = header.get(..u32_at(header, HEADER_SIZE) as usize).unwrap_or_default().to_vec();
    put(&mut header, HEADER_CRC, &[0; 4]);
    crc32fast::hash(&header)
}
