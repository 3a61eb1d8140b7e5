//! Putting files into place: parents, modes, times.

use super::owner::Owner;
use std::ffi::CString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

pub const PERMISSIONS: u32 = 0o7777;
const NEW_FOLDER: u32 = 0o755;

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

/// Owner, mode and time of a file or directory, in the order in which none undoes another.
pub fn finish(path: &Path, owner: Owner, mode: u32, mtime: i64) -> io::Result<()> {
    owner.give(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode & PERMISSIONS))?;
    set_mtime(path, mtime)
}

/// Sets the time of the name itself, also when it is a symbolic link.
pub fn set_mtime(path: &Path, mtime: i64) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let access = libc::timespec { tv_sec: 0, tv_nsec: libc::UTIME_OMIT };
    let change = libc::timespec { tv_sec: mtime, tv_nsec: 0 };
    let times = [access, change];
    // SAFETY: path and times outlive the call.
    let result = unsafe { libc::utimensat(libc::AT_FDCWD, path.as_ptr(), times.as_ptr(), libc::AT_SYMLINK_NOFOLLOW) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
