//! What the globs select below a directory, in an order that depends on names alone.

use super::globs::{Globs, Verdict};
use crate::rpc::status::Status;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

pub trait Visitor {
    /// A directory, file or symbolic link that was selected; directories come before what is in them.
    fn visit(&mut self, relative: &Path, path: &Path, metadata: &Metadata) -> Result<(), Status>;
}

pub fn walk(base: &Path, globs: &Globs, visitor: &mut dyn Visitor) -> Result<(), Status> {
    Walk { globs, base, visitor, parents: Vec::new() }.folder(Path::new(""), false)
}

struct Walk<'a> {
    globs: &'a Globs,
    base: &'a Path,
    visitor: &'a mut dyn Visitor,
    /// Directories above the current one that nothing was found in yet.
    parents: Vec<(PathBuf, Metadata)>,
}

impl Walk<'_> {
    /// `inside` says that this folder was selected as a whole.
    fn folder(&mut self, folder: &Path, inside: bool) -> Result<(), Status> {
        let path = self.base.join(folder);
        let Some(entries) = unless_vanished(fs::read_dir(&path), &path)? else { return Ok(()) };
        let names: io::Result<Vec<_>> = entries.map(|entry| entry.map(|entry| entry.file_name())).collect();
        let mut names = names.map_err(|error| failed(&error, &path))?;
        names.sort_unstable_by(|left, right| left.as_bytes().cmp(right.as_bytes()));
        for name in names {
            self.entry(&folder.join(name), inside)?;
        }
        Ok(())
    }

    fn entry(&mut self, relative: &Path, inside: bool) -> Result<(), Status> {
        let verdict = self.globs.judge(&relative.to_string_lossy(), inside);
        if verdict == Verdict::Out {
            return Ok(());
        }
        let path = self.base.join(relative);
        let Some(metadata) = unless_vanished(fs::symlink_metadata(&path), &path)? else { return Ok(()) };
        // Sockets, pipes and devices have no content to copy.
        let has_content = metadata.is_dir() || metadata.is_file() || metadata.is_symlink();
        match verdict {
            Verdict::Selected if has_content => {
                // So that the modes of the directories above survive.
                for (relative, metadata) in std::mem::take(&mut self.parents) {
                    self.visitor.visit(&relative, &self.base.join(&relative), &metadata)?;
                }
                self.visitor.visit(relative, &path, &metadata)?;
                if metadata.is_dir() { self.folder(relative, true) } else { Ok(()) }
            }
            Verdict::Above if metadata.is_dir() => {
                let depth = self.parents.len();
                self.parents.push((relative.to_owned(), metadata));
                self.folder(relative, false)?;
                self.parents.truncate(depth);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// What was removed while the tree is walked is not in it.
pub fn unless_vanished<T>(result: io::Result<T>, path: &Path) -> Result<Option<T>, Status> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(&error, path)),
    }
}

fn failed(error: &io::Error, path: &Path) -> Status {
    Status::from_io(error, &path.to_string_lossy())
}
