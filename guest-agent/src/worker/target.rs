//! Putting files into place: parents, modes, times.

use super::owner::Owner;
use std::ffi::CString;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::Path;

pub const PERMISSIONS: u32 = 0o7777;
pub const NEW_FOLDER: u32 = 0o755;
const UNCHANGED: libc::timespec = libc::timespec { tv_sec: 0, tv_nsec: libc::UTIME_OMIT };

/// Makes a directory and what is missing above it. What is there already stays as it is.
pub fn make_directories(path: &Path, owner: Owner) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => return Ok(()),
        Ok(_) => return Err(io::Error::from_raw_os_error(libc::ENOTDIR)),
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Err(_) => {}
    }
    if let Some(parent) = path.parent() {
        make_directories(parent, owner)?;
    }
    fs::DirBuilder::new().mode(NEW_FOLDER).create(path)?;
    owner.give(path)
}

/// When a file was last written.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Time {
    pub seconds: i64,
    /// Below a thousand million.
    pub nanos: u32,
}

impl Time {
    pub fn of(metadata: &Metadata) -> Self {
        Self { seconds: metadata.mtime(), nanos: u32::try_from(metadata.mtime_nsec()).unwrap_or(0) }
    }

    fn timespec(self) -> libc::timespec {
        libc::timespec { tv_sec: self.seconds, tv_nsec: self.nanos.into() }
    }
}

/// Owner, mode and time of an open file, in the order in which none undoes another.
pub fn finish_file(file: &File, owner: Owner, mode: u32, mtime: Time) -> io::Result<()> {
    owner.give_file(file)?;
    file.set_permissions(fs::Permissions::from_mode(mode & PERMISSIONS))?;
    let times = [UNCHANGED, mtime.timespec()];
    // SAFETY: the times outlive the call.
    let result = unsafe { libc::futimens(file.as_raw_fd(), times.as_ptr()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The same of a directory by its name.
pub fn finish(path: &Path, owner: Owner, mode: u32, mtime: Time) -> io::Result<()> {
    owner.give(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode & PERMISSIONS))?;
    set_mtime(path, mtime)
}

/// Sets the time of the name itself, also when it is a symbolic link.
pub fn set_mtime(path: &Path, mtime: Time) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let times = [UNCHANGED, mtime.timespec()];
    // SAFETY: path and times outlive the call.
    let result = unsafe { libc::utimensat(libc::AT_FDCWD, path.as_ptr(), times.as_ptr(), libc::AT_SYMLINK_NOFOLLOW) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
