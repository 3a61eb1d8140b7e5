//! Reading: entry by entry, content as it comes.

use super::super::holes::Segment;
use super::super::target::Time;
use super::header::{self, Header};
use super::pax::{self, Records};
use super::sparse::{Lines, Map, OLD_REAL_SIZE};
use super::{BLOCK, bad_archive, padding};
use crate::rpc::status::{Code, Status};
use std::io::{self, ErrorKind, Read};

/// What stands in front of an entry (PAX records, a long name) is held in memory up to this.
const LONGEST_EXTENSION: u64 = 1 << 20;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    File,
    Link,
    Symlink,
    Directory,
    Other,
}

pub struct Entry {
    pub kind: Kind,
    pub name: Vec<u8>,
    /// What a link points to.
    pub link: Vec<u8>,
    pub mode: u32,
    pub mtime: Time,
    /// Of the file when it is unpacked, holes included.
    pub size: u64,
    /// Where the content goes to in a sparse file.
    pub segments: Option<Vec<Segment>>,
}

/// What the blocks in front of a header said about its entry.
#[derive(Default)]
struct Extension {
    records: Records,
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
}

pub struct Reader<'a> {
    source: &'a mut dyn Read,
    /// Content of the current entry that was not read yet, and what fills its last block.
    left: u64,
    padding: u64,
}

/// The current entry's content.
impl Read for Reader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.source.read(buffer.get_mut(..most).unwrap_or_default())?;
        if count == 0 && most > 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.left -= count as u64;
        Ok(count)
    }
}

impl<'a> Reader<'a> {
    pub fn new(source: &'a mut dyn Read) -> Self {
        Self { source, left: 0, padding: 0 }
    }

    /// The next entry, what was not read of the one before it skipped. None at the archive's end.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, Status> {
        let mut extension = Extension::default();
        let mut is_extended = false;
        loop {
            self.skip(self.left.saturating_add(self.padding))?;
            let header = match self.header()? {
                Some(header) => header,
                None if is_extended => return Err(ended()),
                None => return Ok(None),
            };
            is_extended = true;
            let size = header.number(header::SIZE)?;
            let size = u64::try_from(size).map_err(|_| bad_archive("a size is negative"))?;
            self.set_content(size);
            match header.kind() {
                b'x' => {
                    let text = self.extension()?;
                    extension.records =
                        Records::parse(&text).ok_or_else(|| bad_archive("a PAX record is not whole"))?;
                }
                b'L' => extension.name = Some(until_null(self.extension()?)),
                b'K' => extension.link = Some(until_null(self.extension()?)),
                // Comments and defaults for all entries, such as git's.
                b'g' => {}
                _ => return self.entry(&header, extension).map(Some),
            }
        }
    }

    fn entry(&mut self, header: &Header, extension: Extension) -> Result<Entry, Status> {
        let Extension { records, name, link } = extension;
        let name = name.unwrap_or_else(|| header.name());
        let mut entry = Entry {
            kind: kind(header.kind(), &name),
            mode: u32::try_from(header.number(header::MODE)?).unwrap_or(0),
            mtime: Time { seconds: header.number(header::MTIME)?, nanos: 0 },
            size: self.left,
            segments: None,
            link: link.unwrap_or_else(|| header.text(header::LINK).to_vec()),
            name,
        };
        if let Some(size) = records.get("size") {
            entry.size = pax::decimal(size).ok_or_else(|| bad_archive("a size in a PAX record is no number"))?;
            self.set_content(entry.size);
        }
        if let Some(mtime) = records.get("mtime") {
            entry.mtime = pax::parse_time(mtime).ok_or_else(|| bad_archive("a time in a PAX record is wrong"))?;
        }
        if let Some(name) = records.get("GNU.sparse.name").or(records.get("path")) {
            entry.name = name.to_vec();
        }
        if let Some(link) = records.get("linkpath") {
            entry.link = link.to_vec();
        }
        if entry.name.contains(&0) || entry.link.contains(&0) {
            return Err(bad_archive("a name has a null in it"));
        }
        if entry.kind == Kind::Link {
            // Some programs write the size of the file that it is, and no content.
            self.set_content(0);
        }
        if header.kind() == b'S' {
            self.old_map(header, &mut entry)?;
        } else if records.has_prefix("GNU.sparse.") {
            self.map(&records, &mut entry)?;
        }
        Ok(entry)
    }

    /// The map of a GNU.sparse 1.0 file, which is the first part of its content.
    fn map(&mut self, records: &Records, entry: &mut Entry) -> Result<(), Status> {
        if (records.get("GNU.sparse.major"), records.get("GNU.sparse.minor")) != (Some(b"1"), Some(b"0")) {
            let message = "a sparse file of an unknown format is in the archive; make it with GNU.sparse 1.0";
            return Err(Status::new(Code::InvalidArgument, "unsupported-entry", message));
        }
        let real_size = records.get("GNU.sparse.realsize").and_then(pax::decimal);
        let mut lines = Lines::new(real_size.ok_or_else(|| bad_archive("a sparse file without its size"))?);
        loop {
            let block = self.block()?;
            // Within this entry's content.
            self.left = self.left.checked_sub(BLOCK as u64).ok_or_else(ended)?;
            if !lines.push_block(&block)? {
                return self.take_map(lines.map, entry);
            }
        }
    }

    /// The map of an old sparse file, which is in front of its content and not counted in its size.
    fn old_map(&mut self, header: &Header, entry: &mut Entry) -> Result<(), Status> {
        let real_size = header.number(OLD_REAL_SIZE)?;
        let mut map = Map::new(u64::try_from(real_size).map_err(|_| bad_archive("a size is negative"))?);
        let mut more = map.push_header(header)?;
        while more {
            more = map.push_block(&self.block()?)?;
        }
        self.take_map(map, entry)
    }

    fn take_map(&self, map: Map, entry: &mut Entry) -> Result<(), Status> {
        if map.data != self.left {
            return Err(bad_archive("the map of a sparse file does not fit its content"));
        }
        entry.size = map.real_size;
        entry.segments = Some(map.segments);
        Ok(())
    }

    fn set_content(&mut self, size: u64) {
        self.left = size;
        self.padding = padding(size);
    }

    /// The whole content of the current entry, which must be small.
    fn extension(&mut self) -> Result<Vec<u8>, Status> {
        if self.left > LONGEST_EXTENSION {
            return Err(bad_archive("a name or PAX header is too long"));
        }
        let mut content = Vec::new();
        self.read_to_end(&mut content).map_err(|_| ended())?;
        Ok(content)
    }

    fn header(&mut self) -> Result<Option<Header>, Status> {
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while let Some(room) = block.get_mut(filled..)
            && !room.is_empty()
        {
            match self.source.read(room) {
                // Some programs leave the blocks of zeros at the end out.
                Ok(0) if filled == 0 => return Ok(None),
                Ok(count) if count > 0 => filled += count,
                _ => return Err(ended()),
            }
        }
        let header = Header(block);
        if header.is_zero() {
            return Ok(None);
        }
        header.check()?;
        Ok(Some(header))
    }

    fn block(&mut self) -> Result<[u8; BLOCK], Status> {
        let mut block = [0; BLOCK];
        self.source.read_exact(&mut block).map_err(|_| ended())?;
        Ok(block)
    }

    fn skip(&mut self, mut size: u64) -> Result<(), Status> {
        (self.left, self.padding) = (0, 0);
        let mut block = [0; BLOCK];
        while size > 0 {
            let most = usize::try_from(size).unwrap_or(BLOCK).min(BLOCK);
            self.source.read_exact(block.get_mut(..most).unwrap_or_default()).map_err(|_| ended())?;
            size -= most as u64;
        }
        Ok(())
    }
}

fn kind(byte: u8, name: &[u8]) -> Kind {
    match byte {
        // Before POSIX a directory was a file with a slash.
        b'0' | b'\0' | b'7' if name.ends_with(b"/") => Kind::Directory,
        b'0' | b'\0' | b'7' | b'S' => Kind::File,
        b'1' => Kind::Link,
        b'2' => Kind::Symlink,
        b'5' => Kind::Directory,
        _ => Kind::Other,
    }
}

fn until_null(mut bytes: Vec<u8>) -> Vec<u8> {
    if let Some(end) = bytes.iter().position(|byte| *byte == 0) {
        bytes.truncate(end);
    }
    bytes
}

fn ended() -> Status {
    bad_archive("it ends inside an entry")
}
