//! What in an image root is ours and not the job's: an extended attribute that only root can set says so, also where the agent
//! that set it is not the process that asks. Where it cannot be set, what is ours counts as the job's.

use crate::xattr;
use std::ffi::CStr;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

const NAME: &CStr = c"trusted.vm-runner";
const MADE: &[u8] = b"made";

/// Marks a directory that was made for something to be mounted or written there.
pub fn made(path: &Path) {
    let _ = xattr::set(path, NAME, MADE);
}

/// Marks a file as it is now: whoever writes to it later changes its time.
pub fn written(path: &Path) {
    let _ = stamp(path).and_then(|stamp| xattr::set(path, NAME, stamp.as_bytes()));
}

/// Whether this is a directory or file of ours that nobody has changed.
pub fn is_ours(path: &Path) -> bool {
    xattr::get(path, NAME).is_ok_and(|value| value == MADE || stamp(path).is_ok_and(|stamp| stamp.as_bytes() == value))
}

fn stamp(path: &Path) -> io::Result<String> {
    let metadata = fs::symlink_metadata(path)?;
    Ok(format!("{}.{} {:o}", metadata.mtime(), metadata.mtime_nsec(), metadata.mode()))
}
