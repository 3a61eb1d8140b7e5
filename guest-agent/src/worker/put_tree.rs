//! `PutTree`: a tar stream unpacked below a directory, and nowhere else.

use super::absolute;
use super::channel::{Channel, Part, Sum, short_body};
use super::owner::Owner;
use super::target;
use crate::r#gen::agent::{FileTrailer, PutTreeRequest, PutTreeResponse, put_tree_request::Request};
use crate::rpc::status::{Code, Status};
use std::collections::HashSet;
use std::fs::{self, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, symlink};
use std::path::{Component, Path, PathBuf};
use tar::{Archive, Entry, EntryType};

pub fn run(channel: &mut Channel) -> Result<(), Status> {
    let first: PutTreeRequest = channel.request()?;
    let Some(Request::Header(header)) = first.request else {
        return Err(Status::invalid("no-header", "the first message is not a header; send PutTreeHeader first"));
    };
    let base = absolute(&header.directory, "directory")?;
    let owner = Owner::find(&header.owner)?;
    target::make_directories(base, owner).map_err(|error| Status::from_io(&error, &header.directory))?;
    let mut stream = Stream { channel, data: bytes::Bytes::new(), sum: Sum::default(), trailer: None, failure: None };
    let mut tree = Tree { base, owner, links: HashSet::new(), directories: Vec::new(), entries: 0 };
    let unpacked = tree.unpack(&mut stream);
    // The archive's reader only knows that reading failed; the stream knows why.
    if let Some(failure) = stream.failure.take() {
        return Err(failure);
    }
    unpacked?;
    stream.finish()?;
    tree.finish_directories()?;
    channel.send(&PutTreeResponse { entries: tree.entries })
}

struct Tree<'a> {
    base: &'a Path,
    owner: Owner,
    /// Device and inode of the symbolic links that this archive made: nothing is written through them.
    links: HashSet<(u64, u64)>,
    /// Mode and time of directories are set last, so that they can be filled first.
    directories: Vec<(PathBuf, u32, i64)>,
    entries: u64,
}

impl Tree<'_> {
    fn unpack(&mut self, stream: &mut Stream<'_>) -> Result<(), Status> {
        let mut archive = Archive::new(stream);
        for entry in archive.entries().map_err(|error| bad_archive(&error))? {
            let mut entry = entry.map_err(|error| bad_archive(&error))?;
            let name = entry.path().map_err(|error| bad_archive(&error))?.into_owned();
            self.entry(&name, &mut entry)?;
        }
        Ok(())
    }

    fn entry<R: Read>(&mut self, name: &Path, entry: &mut Entry<'_, R>) -> Result<(), Status> {
        let relative = safe(name)?;
        let path = self.base.join(&relative);
        let failed = |error: io::Error| Status::from_io(&error, &path.to_string_lossy());
        let mode = entry.header().mode().map_err(|error| bad_archive(&error))?;
        let mtime = entry.header().mtime().map_err(|error| bad_archive(&error))?;
        let mtime = i64::try_from(mtime).unwrap_or(i64::MAX);
        match entry.header().entry_type() {
            EntryType::XGlobalHeader => return Ok(()),
            EntryType::Directory => {
                self.folder(&relative)?;
                self.directories.push((path.clone(), mode, mtime));
            }
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                self.clear(&relative)?;
                let mut options = OpenOptions::new();
                let file = options.write(true).create_new(true).mode(0o600).custom_flags(libc::O_NOFOLLOW).open(&path);
                let mut file = file.map_err(failed)?;
                io::copy(entry, &mut file).map_err(failed)?;
                target::finish(&path, self.owner, mode, mtime).map_err(failed)?;
            }
            EntryType::Symlink => {
                let link = link_name(entry, name)?;
                self.clear(&relative)?;
                symlink(link, &path).map_err(failed)?;
                let made = fs::symlink_metadata(&path).map_err(failed)?;
                self.links.insert((made.dev(), made.ino()));
                self.owner.give(&path).and_then(|()| target::set_mtime(&path, mtime)).map_err(failed)?;
            }
            EntryType::Link => {
                let source = safe(&link_name(entry, name)?)?;
                self.check(&source)?;
                self.clear(&relative)?;
                fs::hard_link(self.base.join(source), &path).map_err(failed)?;
            }
            _ => {
                let message = format!("not a file, directory or link: {}; leave it out of the archive", name.display());
                return Err(Status::invalid("unsupported-entry", message));
            }
        }
        self.entries += 1;
        Ok(())
    }

    /// Makes room for a name: its parents are there, and what had the name is gone.
    fn clear(&self, relative: &Path) -> Result<(), Status> {
        self.folder(relative.parent().unwrap_or(Path::new("")))?;
        let path = self.base.join(relative);
        match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_dir() => {
                let message = format!("a directory is in the way: {}", path.display());
                Err(Status::new(Code::FailedPrecondition, "is-a-directory", message))
            }
            Ok(_) => fs::remove_file(&path).map_err(|error| Status::from_io(&error, &path.to_string_lossy())),
            Err(_) => Ok(()),
        }
    }

    /// Makes a directory below the base, going through nothing that this archive put there to lead elsewhere.
    fn folder(&self, relative: &Path) -> Result<(), Status> {
        self.check(relative)?;
        let path = self.base.join(relative);
        target::make_directories(&path, self.owner).map_err(|error| Status::from_io(&error, &path.to_string_lossy()))
    }

    fn check(&self, relative: &Path) -> Result<(), Status> {
        let mut path = self.base.to_owned();
        for part in relative.components() {
            path.push(part);
            let Ok(metadata) = fs::symlink_metadata(&path) else { return Ok(()) };
            if self.links.contains(&(metadata.dev(), metadata.ino())) {
                return Err(unsafe_path(relative, "it goes through a symbolic link of the same archive"));
            }
        }
        Ok(())
    }

    fn finish_directories(&self) -> Result<(), Status> {
        for (path, mode, mtime) in self.directories.iter().rev() {
            target::finish(path, self.owner, *mode, *mtime)
                .map_err(|error| Status::from_io(&error, &path.to_string_lossy()))?;
        }
        Ok(())
    }
}

/// The name without `.` parts, if it stays below the directory.
fn safe(name: &Path) -> Result<PathBuf, Status> {
    let mut relative = PathBuf::new();
    for part in name.components() {
        match part {
            Component::Normal(part) => relative.push(part),
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) => return Err(unsafe_path(name, "it is absolute")),
            Component::ParentDir => return Err(unsafe_path(name, "it has a `..` part")),
        }
    }
    Ok(relative)
}

fn link_name<R: Read>(entry: &Entry<'_, R>, name: &Path) -> Result<PathBuf, Status> {
    let link = entry.link_name().map_err(|error| bad_archive(&error))?;
    link.map(std::borrow::Cow::into_owned)
        .ok_or_else(|| Status::invalid("bad-archive", format!("a link without a target: {}", name.display())))
}

fn unsafe_path(name: &Path, why: &str) -> Status {
    Status::invalid("unsafe-path", format!("refused a name in the archive: {}: {why}", name.display()))
}

fn bad_archive(error: &io::Error) -> Status {
    Status::invalid("bad-archive", format!("not a whole tar stream: {error}"))
}

/// The archive's bytes as they arrive, until the trailer.
struct Stream<'a> {
    channel: &'a mut Channel,
    data: bytes::Bytes,
    sum: Sum,
    trailer: Option<FileTrailer>,
    failure: Option<Status>,
}

impl Stream<'_> {
    fn next(&mut self) -> Result<Part, Status> {
        match self.channel.next::<PutTreeRequest>()?.map(|message| message.request) {
            Some(Some(Request::Data(data))) => Ok(Part::Data(data)),
            Some(Some(Request::Trailer(trailer))) => Ok(Part::Trailer(trailer)),
            Some(_) => Err(Status::invalid("bad-message", "neither data nor a trailer came after the header")),
            None => Err(short_body()),
        }
    }

    /// Reads what comes after the archive's end, and checks the whole.
    fn finish(&mut self) -> Result<(), Status> {
        loop {
            if let Some(trailer) = &self.trailer {
                return self.sum.check(trailer);
            }
            match self.next()? {
                Part::Data(data) => self.sum.add(&data),
                Part::Trailer(trailer) => self.trailer = Some(trailer),
            }
        }
    }
}

impl Read for Stream<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.data.is_empty() && self.trailer.is_none() {
            match self.next() {
                Ok(Part::Data(data)) => {
                    self.sum.add(&data);
                    self.data = data;
                }
                Ok(Part::Trailer(trailer)) => self.trailer = Some(trailer),
                Err(status) => {
                    self.failure = Some(status);
                    return Err(io::ErrorKind::BrokenPipe.into());
                }
            }
        }
        let count = self.data.len().min(buffer.len());
        let data = self.data.split_to(count);
        buffer.get_mut(..count).unwrap_or_default().copy_from_slice(&data);
        Ok(count)
    }
}
