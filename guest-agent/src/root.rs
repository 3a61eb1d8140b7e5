//! Reading files of a root that is not ours: its absolute symbolic links mean that root, not the agent's.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::path::Path;

/// Far above any real /etc/passwd, far below the guest's memory.
const LONGEST_TEXT: u64 = 1 << 20;

/// The text of a small file, empty when there is none: a root may lack anything. `path` is relative to the root.
pub fn read_text(root: &Path, path: &str) -> String {
    let mut bytes = Vec::new();
    let read = open(root, path).and_then(|file| file.take(LONGEST_TEXT).read_to_end(&mut bytes));
    if read.is_err() {
        bytes.clear();
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn open(root: &Path, path: &str) -> io::Result<File> {
    let folder = File::open(root)?;
    let path = CString::new(path)?;
    // SAFETY: all zero is a valid open_how.
    let mut how: libc::open_how = unsafe { std::mem::zeroed() };
    // Non-blocking, so that a pipe in the file's place cannot hang the agent.
    how.flags = (libc::O_RDONLY | libc::O_CLOEXEC | libc::O_NONBLOCK) as u64;
    how.resolve = libc::RESOLVE_IN_ROOT;
    // SAFETY: path and `how` outlive the call, and the size is that of `how`.
    let fd = unsafe {
        libc::syscall(libc::SYS_openat2, folder.as_raw_fd(), path.as_ptr(), &raw const how, size_of::<libc::open_how>())
    };
    let fd = RawFd::try_from(fd).ok().filter(|fd| *fd >= 0).ok_or_else(io::Error::last_os_error)?;
    // SAFETY: the descriptor was just made and belongs to nobody else.
    Ok(File::from(unsafe { OwnedFd::from_raw_fd(fd) }))
}
