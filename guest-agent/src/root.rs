//! The roots that requests name, and using files of them: their absolute symbolic links mean that root, not the agent's.

use crate::r#gen::agent::Root;
use crate::image::room::Room;
use crate::rpc::status::Status;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

/// Far above any real /etc/passwd, far below the guest's memory.
const LONGEST_TEXT: u64 = 1 << 20;

/// A root that paths, programs and users are looked up in.
#[derive(Clone)]
pub struct Place {
    /// Where the agent sees it: "/" when it is the system's own.
    pub path: PathBuf,
    /// The namespaces and conventions of an image that was entered.
    pub room: Option<Rc<Room>>,
}

/// The root that a request names by its number.
pub fn named(number: i32) -> Result<Root, Status> {
    match Root::try_from(number) {
        Ok(Root::Base) => Ok(Root::Base),
        Ok(Root::Image | Root::Unspecified) => Ok(Root::Image),
        Err(_) => Err(Status::invalid("bad-root", format!("not a root: {number}; use 1 (image) or 2 (base)"))),
    }
}

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

/// A path that means an open file, whatever became of its names.
pub fn path_of(file: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// Makes what is missing of a directory, links followed inside of the root, and opens its place.
pub fn make_directories(root: &Path, path: &str) -> io::Result<File> {
    let mut folder = open_path(root, ".")?;
    let mut so_far = PathBuf::new();
    for part in Path::new(path).components() {
        let Component::Normal(part) = part else { continue };
        so_far.push(part);
        let opened = open_path(root, &so_far.to_string_lossy());
        folder = match opened {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let name = CString::new(part.as_bytes())?;
                // SAFETY: an open directory, and a null-terminated string that outlives the call.
                if unsafe { libc::mkdirat(folder.as_raw_fd(), name.as_ptr(), 0o755) } < 0 {
                    return Err(io::Error::last_os_error());
                }
                open_path(root, &so_far.to_string_lossy())?
            }
            other => other?,
        };
    }
    Ok(folder)
}

/// A device of the root's /dev, for reading and writing.
pub fn open_device(root: &Path, path: &str) -> io::Result<File> {
    open_as(root, path, libc::O_RDWR | libc::O_NOCTTY)
}

/// Whether there is a file that somebody may execute.
pub fn has_program(root: &Path, path: &str) -> bool {
    let found = open_path(root, path).and_then(|file| file.metadata());
    found.is_ok_and(|metadata| metadata.is_file() && metadata.mode() & 0o111 != 0)
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
