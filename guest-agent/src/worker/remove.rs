//! `Remove`: a file, a link, or a directory with all that is in it. Nothing is looked up by a path that somebody could bend
//! meanwhile: each directory is opened in its parent, links and mounts refused.

use super::channel::Channel;
use super::file_info::is_directory;
use super::folder::Folder;
use crate::r#gen::agent::{RemoveRequest, RemoveResponse};
use crate::rpc::status::{Code, Status};
use std::ffi::{CStr, CString};
use std::io;
use std::os::unix::ffi::OsStrExt;

pub fn run(channel: &mut Channel) -> Result<(), Status> {
    let request: RemoveRequest = channel.request()?;
    let path = channel.roots.enter_for(request.root, &request.path, "path")?;
    let last = request.path.rsplit('/').find(|part| !part.is_empty());
    let (Some(parent), Some(name), true) = (path.parent(), path.file_name(), !matches!(last, None | Some("." | "..")))
    else {
        let message =
            format!("the root, `.` and `..` are not removed: {}; name the file or directory itself", request.path);
        return Err(Status::invalid("bad-path", message));
    };
    allow_many_open_directories();
    let failed = |error| Status::from_io(&error, &request.path);
    let name = CString::new(name.as_bytes()).map_err(|error| failed(error.into()))?;
    let mut removal = Removal { recursive: request.recursive, removed: 0 };
    let gone = Folder::open(parent).and_then(|folder| Ok((is_directory(&folder.stat(&name)?), folder)));
    match gone {
        Ok((is_directory, folder)) => removal.remove(&folder, &name, is_directory, &request.path)?,
        Err(error) if request.ignore_missing && is_missing(&error) => {}
        Err(error) => return Err(failed(error)),
    }
    channel.send(&RemoveResponse { removed: removal.removed })
}

fn is_missing(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR))
}

/// One is open for each level of the tree.
fn allow_many_open_directories() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the calls write and read one rlimit, which outlives them.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) == 0 {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
        }
    }
}

/// A directory that is being emptied.
struct Level {
    folder: Folder,
    name: CString,
    /// Of its path in `Removal::remove`.
    path_length: usize,
}

struct Removal {
    recursive: bool,
    removed: u64,
}

impl Removal {
    fn remove(&mut self, parent: &Folder, name: &CStr, is_directory: bool, path: &str) -> Result<(), Status> {
        if !is_directory || !self.recursive {
            return self.one(parent, name, is_directory, path);
        }
        let mut path = path.trim_end_matches('/').to_owned();
        let mut levels = vec![enter(parent, name, &path)?];
        while let Some(level) = levels.last_mut() {
            path.truncate(level.path_length);
            let Some(entry) = level.folder.next_name().map_err(|error| refused(&error, &path))? else {
                let Some(Level { name, .. }) = levels.pop() else { break };
                let above = levels.last().map_or(parent, |level| &level.folder);
                self.one(above, &name, true, &path)?;
                continue;
            };
            path.push('/');
            path.push_str(&entry.name.to_string_lossy());
            let is_directory = match entry.is_directory {
                Some(known) => known,
                None => is_directory_at(&level.folder, &entry.name).map_err(|error| refused(&error, &path))?,
            };
            if is_directory {
                let below = enter(&level.folder, &entry.name, &path)?;
                levels.push(below);
            } else {
                self.one(&level.folder, &entry.name, false, &path)?;
            }
        }
        Ok(())
    }

    /// What somebody else removed meanwhile is no error, and not counted.
    fn one(&mut self, folder: &Folder, name: &CStr, is_directory: bool, path: &str) -> Result<(), Status> {
        match folder.remove(name, is_directory) {
            Ok(()) => self.removed += 1,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(refused(&error, path)),
        }
        Ok(())
    }
}

fn is_directory_at(folder: &Folder, name: &CStr) -> io::Result<bool> {
    folder.stat(name).map(|found| is_directory(&found))
}

fn enter(parent: &Folder, name: &CStr, path: &str) -> Result<Level, Status> {
    let folder = parent.open_below(name).map_err(|error| refused(&error, path))?;
    Ok(Level { folder, name: name.to_owned(), path_length: path.len() })
}

fn refused(error: &io::Error, path: &str) -> Status {
    let (reason, sentence) = match error.raw_os_error() {
        Some(libc::EXDEV | libc::EBUSY) => ("busy", "a file system is mounted there, or the system uses it"),
        Some(libc::ENOTEMPTY) => ("not-empty", "the directory is not empty; ask for its content to go with it"),
        _ => return Status::from_io(error, path),
    };
    Status::new(Code::FailedPrecondition, reason, format!("{sentence}: {path}"))
}
