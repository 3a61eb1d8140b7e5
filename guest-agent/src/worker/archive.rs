//! Files as entries of a tar stream on its way to the client.

use super::channel::{CHUNK, Channel, Sum};
use super::get_file::changed_or;
use super::holes::{Segment, next_data};
use super::tar::{Attributes, Writer};
use super::target::{PERMISSIONS, Time};
use crate::rpc::status::Status;
use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

/// A file in more pieces is sent with the holes behind them.
const MOST_SEGMENTS: usize = 1 << 16;

pub struct Archive<'a> {
    pub writer: Writer<'a>,
    pub entries: u64,
    /// Whether holes are told, which not every reader understands.
    tells_holes: bool,
    /// The first name in the archive of each file that has several, by device and inode.
    names: HashMap<(u64, u64), Vec<u8>>,
}

impl<'a> Archive<'a> {
    pub fn new(stream: &'a mut Stream<'_>, tells_holes: bool) -> Self {
        Self { writer: Writer::new(stream), entries: 0, tells_holes, names: HashMap::new() }
    }

    /// The whole of an open file, unless it is no regular one.
    pub fn file(&mut self, name: &[u8], file: &File, path: &Path) -> Result<(), Status> {
        let failed = |error: io::Error| changed_or(&error, &path.to_string_lossy());
        // As it is now, not as it was when the name was looked at.
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() {
            return Ok(());
        }
        self.entries += 1;
        if self.link(name, &metadata)? {
            return Ok(());
        }
        let size = metadata.size();
        let has_holes = self.tells_holes && metadata.blocks().saturating_mul(512) < size;
        let segments = if has_holes { segments(file, size).map_err(failed)? } else { whole(size) };
        self.writer.file(name, attributes(&metadata), size, &segments).map_err(gone)?;
        let mut buffer = vec![0; CHUNK];
        for segment in segments {
            let mut offset = segment.offset;
            while offset < segment.end() {
                let wanted = usize::try_from(segment.end() - offset).unwrap_or(CHUNK).min(CHUNK);
                // What is appended meanwhile is left out, what is missing is an error.
                let count = match file.read_at(buffer.get_mut(..wanted).unwrap_or_default(), offset) {
                    Ok(0) => return Err(failed(io::ErrorKind::UnexpectedEof.into())),
                    Ok(count) => count,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) => return Err(failed(error)),
                };
                self.writer.content(buffer.get(..count).unwrap_or_default()).map_err(gone)?;
                offset += count as u64;
            }
        }
        Ok(())
    }

    /// A further name of a file that is in here already. False when it is the first one.
    fn link(&mut self, name: &[u8], metadata: &Metadata) -> Result<bool, Status> {
        if metadata.nlink() < 2 {
            return Ok(false);
        }
        let identity = (metadata.dev(), metadata.ino());
        if let Some(first) = self.names.get(&identity) {
            self.writer.link(name, first, attributes(metadata)).map_err(gone)?;
            return Ok(true);
        }
        self.names.insert(identity, name.to_vec());
        Ok(false)
    }
}

fn segments(file: &File, size: u64) -> io::Result<Vec<Segment>> {
    let mut segments = Vec::new();
    let mut from = 0;
    while let Some(mut segment) = next_data(file, from, size)? {
        if segments.len() + 1 == MOST_SEGMENTS {
            segment.length = size - segment.offset;
        }
        from = segment.end();
        segments.push(segment);
    }
    Ok(segments)
}

fn whole(size: u64) -> Vec<Segment> {
    vec![Segment { offset: 0, length: size }]
}

pub fn attributes(metadata: &Metadata) -> Attributes {
    Attributes {
        mode: metadata.mode() & PERMISSIONS,
        uid: metadata.uid(),
        gid: metadata.gid(),
        mtime: Time::of(metadata),
    }
}

/// The archive is written to the client and nowhere else.
pub fn gone(_: io::Error) -> Status {
    Status::gone()
}

/// The archive's bytes on their way out, in field 1 of messages.
pub struct Stream<'a> {
    pub channel: &'a mut Channel,
    pub sum: Sum,
    buffer: Vec<u8>,
}

impl<'a> Stream<'a> {
    pub fn new(channel: &'a mut Channel) -> Self {
        Self { channel, sum: Sum::default(), buffer: Vec::with_capacity(CHUNK) }
    }
}

impl Write for Stream<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.get(..bytes.len().min(CHUNK - self.buffer.len())).unwrap_or_default();
        self.buffer.extend_from_slice(taken);
        if self.buffer.len() == CHUNK {
            self.flush()?;
        }
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if !self.buffer.is_empty() {
            self.sum.add(&self.buffer);
            self.channel.send_data(1, &self.buffer).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
            self.buffer.clear();
        }
        Ok(())
    }
}
