//! Writing: POSIX headers, with PAX records in front where they have no room.

use super::super::holes::Segment;
use super::super::target::Time;
use super::header::{self, Field, Header};
use super::pax;
use super::sparse::format_map;
use super::{BLOCK, padding};
use std::io::{self, Write};

/// What an entry says besides its name and content.
#[derive(Clone, Copy)]
pub struct Attributes {
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub mtime: Time,
}

pub struct Writer<'a> {
    stream: &'a mut dyn Write,
    /// What fills the last block of the current content.
    padding: u64,
    /// Extended attributes of the next entry, as records.
    attributes: Vec<u8>,
}

impl<'a> Writer<'a> {
    pub fn new(stream: &'a mut dyn Write) -> Self {
        Self { stream, padding: 0, attributes: Vec::new() }
    }

    pub fn directory(&mut self, name: &[u8], attributes: Attributes) -> io::Result<()> {
        self.entry(b'5', name, b"", attributes, 0, Vec::new())
    }

    pub fn symlink(&mut self, name: &[u8], target: &[u8], attributes: Attributes) -> io::Result<()> {
        self.entry(b'2', name, target, attributes, 0, Vec::new())
    }

    /// Another name of a file that is in this archive.
    pub fn link(&mut self, name: &[u8], first: &[u8], attributes: Attributes) -> io::Result<()> {
        self.entry(b'1', name, first, attributes, 0, Vec::new())
    }

    /// A device of this major and minor number, or a pipe.
    pub fn device(&mut self, kind: u8, name: &[u8], attributes: Attributes, device: (u32, u32)) -> io::Result<()> {
        let mut header = Header::new(kind);
        header.put_number(header::DEVICE_MAJOR, device.0.into());
        header.put_number(header::DEVICE_MINOR, device.1.into());
        self.entry_with(header, name, b"", attributes, 0, Vec::new())
    }

    /// An extended attribute of the entry that comes next, in the records that star and GNU tar write.
    pub fn attribute(&mut self, name: &[u8], value: &[u8]) {
        pax::push(&mut self.attributes, &[b"SCHILY.xattr.", name].concat(), value);
    }

    /// Begins a file whose content, exactly these pieces of it, is written next.
    pub fn file(&mut self, name: &[u8], attributes: Attributes, size: u64, pieces: &[Segment]) -> io::Result<()> {
        let data: u64 = pieces.iter().map(|piece| piece.length).sum();
        if data == size {
            return self.entry(b'0', name, b"", attributes, size, Vec::new());
        }
        let map = format_map(pieces, size);
        let mut records = Vec::new();
        pax::push(&mut records, b"GNU.sparse.major", b"1");
        pax::push(&mut records, b"GNU.sparse.minor", b"0");
        pax::push(&mut records, b"GNU.sparse.name", name);
        pax::push(&mut records, b"GNU.sparse.realsize", size.to_string().as_bytes());
        // What a program without sparse files unpacks must not look like the file itself.
        let packed = [b"GNUSparseFile.0/", name.rsplit(|byte| *byte == b'/').next().unwrap_or_default()].concat();
        let packed = packed.get(..packed.len().min(header::NAME.1)).unwrap_or_default();
        self.entry(b'0', packed, b"", attributes, map.len() as u64 + data, records)?;
        self.stream.write_all(&map)
    }

    pub fn content(&mut self, data: &[u8]) -> io::Result<()> {
        self.stream.write_all(data)
    }

    /// The two blocks of zeros at the end.
    pub fn finish(&mut self) -> io::Result<()> {
        self.pad()?;
        self.stream.write_all(&[0; 2 * BLOCK])?;
        self.stream.flush()
    }

    fn entry(
        &mut self,
        kind: u8,
        name: &[u8],
        link: &[u8],
        attributes: Attributes,
        size: u64,
        records: Vec<u8>,
    ) -> io::Result<()> {
        self.entry_with(Header::new(kind), name, link, attributes, size, records)
    }

    fn entry_with(
        &mut self,
        mut header: Header,
        name: &[u8],
        link: &[u8],
        attributes: Attributes,
        size: u64,
        mut records: Vec<u8>,
    ) -> io::Result<()> {
        let Attributes { mode, uid, gid, mtime } = attributes;
        records.append(&mut self.attributes);
        header.put_number(header::MODE, mode.into());
        put_text(&mut header, &mut records, header::NAME, b"path", name);
        put_text(&mut header, &mut records, header::LINK, b"linkpath", link);
        put_number(&mut header, &mut records, header::UID, b"uid", uid.into());
        put_number(&mut header, &mut records, header::GID, b"gid", gid.into());
        put_number(&mut header, &mut records, header::SIZE, b"size", size);
        let seconds = u64::try_from(mtime.seconds).unwrap_or(u64::MAX);
        if !header.put_number(header::MTIME, seconds) || mtime.nanos > 0 {
            pax::push(&mut records, b"mtime", pax::format_time(mtime).as_bytes());
        }
        self.pad()?;
        if !records.is_empty() {
            let mut extension = Header::new(b'x');
            extension.put(header::NAME, b"PaxHeader");
            extension.put_number(header::MODE, 0o644);
            extension.put_number(header::SIZE, records.len() as u64);
            extension.seal();
            records.resize(records.len().next_multiple_of(BLOCK), 0);
            self.stream.write_all(&extension.0)?;
            self.stream.write_all(&records)?;
        }
        header.seal();
        self.stream.write_all(&header.0)?;
        self.padding = padding(size);
        Ok(())
    }

    fn pad(&mut self) -> io::Result<()> {
        let size = usize::try_from(std::mem::take(&mut self.padding)).unwrap_or(0);
        self.stream.write_all([0; BLOCK].get(..size).unwrap_or_default())
    }
}

fn put_text(header: &mut Header, records: &mut Vec<u8>, field: Field, key: &[u8], text: &[u8]) {
    header.put(field, text);
    if text.len() > field.1 {
        pax::push(records, key, text);
    }
}

fn put_number(header: &mut Header, records: &mut Vec<u8>, field: Field, key: &[u8], value: u64) {
    if !header.put_number(field, value) {
        pax::push(records, key, value.to_string().as_bytes());
    }
}
