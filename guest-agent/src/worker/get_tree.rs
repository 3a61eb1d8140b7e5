//! `GetTree`: what the globs select, as a tar stream whose order depends on names alone.

use super::absolute;
use super::channel::{CHUNK, Channel, Sum};
use super::globs::{Globs, Verdict};
use crate::r#gen::agent::{GetTreeRequest, GetTreeResponse, TreeTrailer, get_tree_response::Response};
use crate::rpc::status::{Code, Status};
use std::fs::{self, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use tar::{Builder, EntryType, Header};

pub fn run(channel: &mut Channel) -> Result<(), Status> {
    let request: GetTreeRequest = channel.request()?;
    let base = absolute(&request.directory, "directory")?;
    let globs = Globs::new(&request.include, &request.exclude)?;
    let metadata = fs::metadata(base).map_err(|error| Status::from_io(&error, &request.directory))?;
    if !metadata.is_dir() {
        let message = format!("not a directory: {}", request.directory);
        return Err(Status::new(Code::FailedPrecondition, "not-a-directory", message));
    }
    let stream = Stream { channel, sum: Sum::default(), buffer: Vec::with_capacity(CHUNK) };
    let mut walk =
        Walk { archive: Builder::new(stream), globs, base: base.to_owned(), entries: 0, parents: Vec::new() };
    walk.folder(Path::new(""), false)?;
    let Walk { archive, entries, .. } = walk;
    let mut stream = archive.into_inner().map_err(|_| Status::gone())?;
    stream.flush().map_err(|_| Status::gone())?;
    let trailer = TreeTrailer { stream: Some(stream.sum.trailer()), entries };
    stream.channel.send(&GetTreeResponse { response: Some(Response::Trailer(trailer)) })
}

struct Walk<'a> {
    archive: Builder<Stream<'a>>,
    globs: Globs,
    base: PathBuf,
    entries: u64,
    /// Directories above the current one that nothing was found in yet.
    parents: Vec<(PathBuf, Metadata)>,
}

impl Walk<'_> {
    /// `inside` says that this folder was selected as a whole.
    fn folder(&mut self, folder: &Path, inside: bool) -> Result<(), Status> {
        let path = self.base.join(folder);
        let entries = match fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(error) if vanished(&error) => return Ok(()),
            Err(error) => return Err(failed(&error, &path)),
        };
        let mut names: Vec<_> = entries.flatten().map(|entry| entry.file_name()).collect();
        names.sort_unstable_by(|left, right| left.as_bytes().cmp(right.as_bytes()));
        for name in names {
            self.entry(&folder.join(name), inside)?;
        }
        Ok(())
    }

    fn entry(&mut self, relative: &Path, inside: bool) -> Result<(), Status> {
        let verdict = self.globs.judge(&relative.to_string_lossy(), inside);
        let path = self.base.join(relative);
        let metadata = match fs::symlink_metadata(&path) {
            _ if verdict == Verdict::Out => return Ok(()),
            Ok(metadata) => metadata,
            Err(error) if vanished(&error) => return Ok(()),
            Err(error) => return Err(failed(&error, &path)),
        };
        match (verdict, metadata.is_dir()) {
            (Verdict::Selected, true) => {
                self.parents_first()?;
                self.directory(relative, &metadata)?;
                self.folder(relative, true)
            }
            (Verdict::Selected, false) => self.leaf(relative, &path, &metadata),
            (_, true) => {
                let depth = self.parents.len();
                self.parents.push((relative.to_owned(), metadata));
                self.folder(relative, false)?;
                self.parents.truncate(depth);
                Ok(())
            }
            (_, false) => Ok(()),
        }
    }

    /// Archives the directories above what was found, so that their modes survive.
    fn parents_first(&mut self) -> Result<(), Status> {
        for (relative, metadata) in std::mem::take(&mut self.parents) {
            self.directory(&relative, &metadata)?;
        }
        Ok(())
    }

    fn directory(&mut self, relative: &Path, metadata: &Metadata) -> Result<(), Status> {
        let mut header = header(metadata, EntryType::Directory, 0);
        self.entries += 1;
        self.archive.append_data(&mut header, relative, io::empty()).map_err(|error| archiving(&error, relative))
    }

    fn leaf(&mut self, relative: &Path, path: &Path, metadata: &Metadata) -> Result<(), Status> {
        if metadata.is_symlink() {
            let link = match fs::read_link(path) {
                Ok(link) => link,
                Err(error) if vanished(&error) => return Ok(()),
                Err(error) => return Err(failed(&error, path)),
            };
            self.parents_first()?;
            let mut header = header(metadata, EntryType::Symlink, 0);
            self.entries += 1;
            return self.archive.append_link(&mut header, relative, link).map_err(|error| archiving(&error, relative));
        }
        if !metadata.is_file() {
            // Sockets, pipes and devices have no content to copy.
            return Ok(());
        }
        let file = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path);
        let file = match file {
            Ok(file) => file,
            Err(error) if vanished(&error) => return Ok(()),
            Err(error) => return Err(failed(&error, path)),
        };
        // As it is now, not as it was when the name was looked at.
        let metadata = file.metadata().map_err(|error| failed(&error, path))?;
        self.parents_first()?;
        let size = metadata.size();
        let mut header = header(&metadata, EntryType::Regular, size);
        self.entries += 1;
        let mut content = Exactly { source: file, left: size };
        let appended = self.archive.append_data(&mut header, relative, &mut content);
        match appended {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                let message = format!("the file became shorter while it was read: {}; try again", path.display());
                Err(Status::new(Code::DataLoss, "file-changed", message))
            }
            other => other.map_err(|error| archiving(&error, relative)),
        }
    }
}

fn header(metadata: &Metadata, kind: EntryType, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(metadata.mode() & super::target::PERMISSIONS);
    header.set_mtime(u64::try_from(metadata.mtime()).unwrap_or(0));
    header.set_uid(metadata.uid().into());
    header.set_gid(metadata.gid().into());
    header
}

/// A file's first `left` bytes: what is appended meanwhile is left out, what is missing is an error.
struct Exactly<R> {
    source: R,
    left: u64,
}

impl<R: Read> Read for Exactly<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.source.read(buffer.get_mut(..most).unwrap_or_default())?;
        if count == 0 && most > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= count as u64;
        Ok(count)
    }
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

fn vanished(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
}

fn failed(error: &io::Error, path: &Path) -> Status {
    Status::from_io(error, &path.to_string_lossy())
}

fn archiving(error: &io::Error, path: &Path) -> Status {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Status::gone(),
        _ => failed(error, path),
    }
}
