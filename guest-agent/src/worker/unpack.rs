//! The entries of an archive, put below a directory. Each file appears when it is whole.

use super::holes::copy_without_zeros;
use super::owner::Owner;
use super::tar::{Entry, Kind, Reader};
use super::target::{self, Time};
use super::temporary::Temporary;
use crate::rpc::status::{Code, Status};
use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Component, Path, PathBuf};

pub struct Tree<'a> {
    base: &'a Path,
    owner: Owner,
    /// Device and inode of the symbolic links that this archive made: nothing is written through them.
    links: HashSet<(u64, u64)>,
    /// Mode and time of directories are set last, so that they can be filled first.
    directories: Vec<(PathBuf, u32, Time)>,
    pub entries: u64,
}

impl<'a> Tree<'a> {
    pub fn new(base: &'a Path, owner: Owner) -> Self {
        Self { base, owner, links: HashSet::new(), directories: Vec::new(), entries: 0 }
    }

    pub fn unpack(&mut self, stream: &mut dyn Read) -> Result<(), Status> {
        let mut archive = Reader::new(stream);
        while let Some(entry) = archive.next_entry()? {
            self.entry(&entry, &mut archive)?;
            self.entries += 1;
        }
        Ok(())
    }

    pub fn finish_directories(&self) -> Result<(), Status> {
        for (path, mode, mtime) in self.directories.iter().rev() {
            target::finish(path, self.owner, *mode, *mtime).map_err(|error| failed(&error, path))?;
        }
        Ok(())
    }

    fn entry(&mut self, entry: &Entry, archive: &mut Reader<'_>) -> Result<(), Status> {
        let name = as_path(&entry.name);
        let relative = safe(name)?;
        let path = self.base.join(&relative);
        let failed = |error: io::Error| failed(&error, &path);
        match entry.kind {
            Kind::Directory => {
                self.folder(&relative)?;
                self.directories.push((path.clone(), entry.mode, entry.mtime));
            }
            // The directory itself, which no other kind of entry can be.
            _ if relative.as_os_str().is_empty() => {
                return Err(unsafe_path(name, "it names the directory itself"));
            }
            Kind::File => {
                self.make_way(&relative)?;
                let mut temporary = Temporary::create(path.parent().unwrap_or(self.base)).map_err(failed)?;
                self.fill(entry, archive, &mut temporary).map_err(|error| match error.kind() {
                    ErrorKind::UnexpectedEof => {
                        Status::invalid("bad-archive", format!("the archive ends inside a file: {}", name.display()))
                    }
                    _ => failed(error),
                })?;
                temporary.place(&path).map_err(failed)?;
            }
            Kind::Symlink => {
                self.clear(&relative)?;
                symlink(as_path(target_of(entry)?), &path).map_err(failed)?;
                let made = fs::symlink_metadata(&path).map_err(failed)?;
                self.links.insert((made.dev(), made.ino()));
                self.owner.give(&path).and_then(|()| target::set_mtime(&path, entry.mtime)).map_err(failed)?;
            }
            Kind::Link => {
                let source = safe(as_path(target_of(entry)?))?;
                if source == relative {
                    return Err(unsafe_path(name, "it is a link to itself"));
                }
                self.check(&source)?;
                self.clear(&relative)?;
                fs::hard_link(self.base.join(source), &path).map_err(failed)?;
            }
            Kind::Other => {
                let message = format!("not a file, directory or link: {}; leave it out of the archive", name.display());
                return Err(Status::invalid("unsupported-entry", message));
            }
        }
        Ok(())
    }

    fn fill(&self, entry: &Entry, archive: &mut Reader<'_>, temporary: &mut Temporary) -> io::Result<()> {
        let file = &mut temporary.file;
        match &entry.segments {
            None => {
                copy_without_zeros(archive, file)?;
            }
            Some(segments) => {
                for segment in segments {
                    file.seek(SeekFrom::Start(segment.offset))?;
                    copy_without_zeros(&mut archive.take(segment.length), file)?;
                }
            }
        }
        file.set_len(entry.size)?;
        target::finish_file(file, self.owner, entry.mode, entry.mtime)
    }

    /// The parents of a name are there, and no directory has it.
    fn make_way(&self, relative: &Path) -> Result<(), Status> {
        self.folder(relative.parent().unwrap_or(Path::new("")))?;
        let path = self.base.join(relative);
        if fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_dir()) {
            let message = format!("a directory is in the way: {}", path.display());
            return Err(Status::new(Code::FailedPrecondition, "is-a-directory", message));
        }
        Ok(())
    }

    /// Besides, what had the name is gone.
    fn clear(&self, relative: &Path) -> Result<(), Status> {
        self.make_way(relative)?;
        let path = self.base.join(relative);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(failed(&error, &path)),
            _ => Ok(()),
        }
    }

    /// Makes a directory below the base, going through nothing that this archive put there to lead elsewhere.
    fn folder(&self, relative: &Path) -> Result<(), Status> {
        self.check(relative)?;
        let path = self.base.join(relative);
        target::make_directories(&path, self.owner).map_err(|error| failed(&error, &path))
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

fn target_of(entry: &Entry) -> Result<&[u8], Status> {
    if entry.link.is_empty() {
        let message = format!("a link without a target: {}", as_path(&entry.name).display());
        return Err(Status::invalid("bad-archive", message));
    }
    Ok(&entry.link)
}

fn as_path(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}

fn unsafe_path(name: &Path, why: &str) -> Status {
    Status::invalid("unsafe-path", format!("refused a name in the archive: {}: {why}", name.display()))
}

fn failed(error: &io::Error, path: &Path) -> Status {
    Status::from_io(error, &path.to_string_lossy())
}
