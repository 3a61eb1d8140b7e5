//! `GetTree`: what the globs select, as a tar stream.

use super::channel::{CHUNK, Channel, Sum};
use super::get_file::changed_or;
use super::globs::Globs;
use super::holes::{Segment, next_data};
use super::tar::{Attributes, Writer};
use super::target::{PERMISSIONS, Time};
use super::totals::Totals;
use super::walk::{Visitor, unless_vanished, walk};
use crate::r#gen::agent::{GetTreeRequest, GetTreeResponse, TreeTrailer, get_tree_response::Response};
use crate::rpc::status::{Code, Status};
use std::collections::HashMap;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

/// A file in more pieces is sent with the holes behind them.
const MOST_SEGMENTS: usize = 1 << 16;

pub fn run(channel: &mut Channel) -> Result<(), Status> {
    let request: GetTreeRequest = channel.request()?;
    let base = channel.roots.enter_for(request.root, &request.directory, "directory")?;
    let globs = Globs::new(&request.include, &request.exclude)?;
    let metadata = fs::metadata(base).map_err(|error| Status::from_io(&error, &request.directory))?;
    if !metadata.is_dir() {
        let message = format!("not a directory: {}", request.directory);
        return Err(Status::new(Code::FailedPrecondition, "not-a-directory", message));
    }
    if request.totals {
        let mut totals = Totals::default();
        walk(base, &globs, &mut totals)?;
        channel.send(&GetTreeResponse { response: Some(Response::Totals(totals.totals)) })?;
    }
    let mut stream = Stream { channel, sum: Sum::default(), buffer: Vec::with_capacity(CHUNK) };
    let mut archive = Archive { writer: Writer::new(&mut stream), entries: 0, names: HashMap::new() };
    walk(base, &globs, &mut archive)?;
    archive.writer.finish().map_err(gone)?;
    let entries = archive.entries;
    let trailer = TreeTrailer { stream: Some(stream.sum.trailer()), entries };
    stream.channel.send(&GetTreeResponse { response: Some(Response::Trailer(trailer)) })
}

struct Archive<'a> {
    writer: Writer<'a>,
    entries: u64,
    /// The first name in the archive of each file that has several, by device and inode.
    names: HashMap<(u64, u64), Vec<u8>>,
}

impl Visitor for Archive<'_> {
    fn visit(&mut self, relative: &Path, path: &Path, metadata: &Metadata) -> Result<(), Status> {
        let name = relative.as_os_str().as_bytes();
        if metadata.is_dir() {
            self.writer.directory(name, attributes(metadata)).map_err(gone)?;
        } else if metadata.is_symlink() {
            let Some(target) = unless_vanished(fs::read_link(path), path)? else { return Ok(()) };
            self.writer.symlink(name, target.as_os_str().as_bytes(), attributes(metadata)).map_err(gone)?;
        } else {
            let file = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path);
            let Some(file) = unless_vanished(file, path)? else { return Ok(()) };
            return self.file(name, &file, path);
        }
        self.entries += 1;
        Ok(())
    }
}

impl Archive<'_> {
    fn file(&mut self, name: &[u8], file: &File, path: &Path) -> Result<(), Status> {
        let failed = |error: io::Error| changed_or(&error, &path.to_string_lossy());
        // As it is now, not as it was when the name was looked at.
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() {
            return Ok(());
        }
        self.entries += 1;
        if metadata.nlink() > 1 {
            let identity = (metadata.dev(), metadata.ino());
            if let Some(first) = self.names.get(&identity) {
                return self.writer.link(name, first, attributes(&metadata)).map_err(gone);
            }
            self.names.insert(identity, name.to_vec());
        }
        let size = metadata.size();
        let has_holes = metadata.blocks().saturating_mul(512) < size;
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

fn attributes(metadata: &Metadata) -> Attributes {
    Attributes {
        mode: metadata.mode() & PERMISSIONS,
        uid: metadata.uid(),
        gid: metadata.gid(),
        mtime: Time::of(metadata),
    }
}

/// The archive is written to the client and nowhere else.
fn gone(_: io::Error) -> Status {
    Status::gone()
}

/// The archive's bytes on their way out.
struct Stream<'a> {
    channel: &'a mut Channel,
    sum: Sum,
    buffer: Vec<u8>,
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
