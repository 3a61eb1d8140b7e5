//! What in an image root is ours and not the job's: an extended attribute that only root can set says so, also where the agent
//! that set it is not the process that asks.

use std::ffi::{CStr, CString};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

pub const NAME: &CStr = c"trusted.vm-runner";

/// Marks a directory that was made for something to be mounted or written there.
pub fn made(path: &Path) {
    set(path, b"made");
}

/// Marks a file as it is now: whoever writes to it later changes its time.
pub fn written(path: &Path) {
    if let Ok(stamp) = stamp(path) {
        set(path, stamp.as_bytes());
    }
}

/// Whether this is a directory or file of ours that nobody has changed.
pub fn is_ours(path: &Path) -> bool {
    let mut value = [0; 64];
    let Ok(name) = CString::new(path.as_os_str().as_bytes()) else { return false };
    // SAFETY: both strings and the buffer outlive the call, and the length is the buffer's.
    let length = unsafe { libc::lgetxattr(name.as_ptr(), NAME.as_ptr(), value.as_mut_ptr().cast(), value.len()) };
    let value = usize::try_from(length).ok().and_then(|length| value.get(..length));
    value.is_some_and(|value| value == b"made" || stamp(path).is_ok_and(|stamp| stamp.as_bytes() == value))
}

fn stamp(path: &Path) -> io::Result<String> {
    let metadata = fs::symlink_metadata(path)?;
    Ok(format!("{}.{} {:o}", metadata.mtime(), metadata.mtime_nsec(), metadata.mode()))
}

/// Where it cannot be set, what is ours counts as the job's.
fn set(path: &Path, value: &[u8]) {
    let Ok(name) = CString::new(path.as_os_str().as_bytes()) else { return };
    // SAFETY: both strings and the value outlive the call, and the length is the value's.
    unsafe { libc::lsetxattr(name.as_ptr(), NAME.as_ptr(), value.as_ptr().cast(), value.len(), 0) };
}
