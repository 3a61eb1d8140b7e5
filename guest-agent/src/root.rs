//! Reading files of a root that is not ours: its absolute symbolic links mean that root, not the agent's.

use std::ffi::{CStr, CString};
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

/// The place of a file, whatever it is, without opening it.
pub fn open_path(root: &Path, path: &str) -> io::Result<File> {
    open_as(root, path, libc::O_PATH)
}

fn open(root: &Path, path: &str) -> io::Result<File> {
    // Non-blocking, so that a pipe in the file's place cannot hang the agent.
    open_as(root, path, libc::O_RDONLY | libc::O_NONBLOCK)
}

fn open_as(root: &Path, path: &str, flags: libc::c_int) -> io::Result<File> {
    let flags = flags | libc::O_CLOEXEC;
    let fd = if root == Path::new("/") {
        // Nothing to stay inside of, and kernels before 5.6 have no openat2.
        let path = CString::new(format!("/{path}"))?;
        // SAFETY: a null-terminated string that outlives the call.
        unsafe { libc::open(path.as_ptr(), flags) }
    } else {
        open_below(root, &CString::new(path)?, flags)?
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor was just made and belongs to nobody else.
    Ok(File::from(unsafe { OwnedFd::from_raw_fd(fd) }))
}

fn open_below(root: &Path, path: &CStr, flags: libc::c_int) -> io::Result<RawFd> {
    let folder = File::open(root)?;
    // SAFETY: all zero is a valid open_how.
    let mut how: libc::open_how = unsafe { std::mem::zeroed() };
    how.flags = flags as u64;
    how.resolve = libc::RESOLVE_IN_ROOT;
    // SAFETY: path and `how` outlive the call, and the size is that of `how`.
    let fd = unsafe {
        libc::syscall(libc::SYS_openat2, folder.as_raw_fd(), path.as_ptr(), &raw const how, size_of::<libc::open_how>())
    };
    Ok(RawFd::try_from(fd).unwrap_or(-1))
}
