//! An open directory: what is in it, read piece by piece, and what can be done there without going through any link.

use super::target::Time;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

const PIECE: usize = 32 << 10;
/// Of linux_dirent64: inode and offset, eight bytes each, the record's length in two, the type in one, then the name.
const LENGTH_AT: usize = 16;
const TYPE_AT: usize = 18;
const NAME_AT: usize = 19;

pub struct Folder {
    fd: OwnedFd,
    buffer: Vec<u8>,
    /// What of the buffer was not given out yet.
    next: usize,
    filled: usize,
}

pub struct Name {
    pub name: CString,
    /// None where the file system does not say it with the name.
    pub is_directory: Option<bool>,
}

impl Folder {
    pub fn open(path: &Path) -> io::Result<Self> {
        let path = CString::new(path.as_os_str().as_bytes())?;
        // SAFETY: a null-terminated string that outlives the call.
        let fd = unsafe { libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC) };
        Self::of(fd.into())
    }

    /// A directory in this one, unless its name is a link (`ELOOP`) or a file system is mounted there (`EXDEV`).
    pub fn open_below(&self, name: &CStr) -> io::Result<Self> {
        // SAFETY: all zero is a valid open_how.
        let mut how: libc::open_how = unsafe { std::mem::zeroed() };
        how.flags = (libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC) as u64;
        how.resolve = libc::RESOLVE_NO_XDEV | libc::RESOLVE_NO_SYMLINKS | libc::RESOLVE_BENEATH;
        let (folder, name) = (self.fd.as_raw_fd(), name.as_ptr());
        // SAFETY: name and `how` outlive the call, and the size is that of `how`.
        let fd = unsafe { libc::syscall(libc::SYS_openat2, folder, name, &raw const how, size_of::<libc::open_how>()) };
        match Self::of(fd) {
            Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => self.open_on_the_same_device(name),
            other => other,
        }
    }

    /// For kernels before 5.6. What is not seen there is a directory of the same file system mounted a second time.
    fn open_on_the_same_device(&self, name: *const libc::c_char) -> io::Result<Self> {
        let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW | libc::O_CLOEXEC;
        // SAFETY: the caller's null-terminated string outlives the call.
        let below = Self::of(unsafe { libc::openat(self.fd.as_raw_fd(), name, flags) }.into())?;
        let device = |folder: &Self| folder.stat(c".").map(|found| found.st_dev);
        if device(self)? == device(&below)? { Ok(below) } else { Err(io::Error::from_raw_os_error(libc::EXDEV)) }
    }

    fn of(fd: libc::c_long) -> io::Result<Self> {
        let fd = RawFd::try_from(fd).ok().filter(|fd| *fd >= 0).ok_or_else(io::Error::last_os_error)?;
        // SAFETY: the descriptor was just made and belongs to nobody else.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self { fd, buffer: Vec::new(), next: 0, filled: 0 })
    }

    /// The next name in no particular order, `.` and `..` left out; none at the end.
    pub fn next_name(&mut self) -> io::Result<Option<Name>> {
        loop {
            if self.next >= self.filled {
                self.buffer.resize(PIECE, 0);
                let (fd, buffer, length) = (self.fd.as_raw_fd(), self.buffer.as_mut_ptr(), self.buffer.len());
                // SAFETY: pointer and length describe the buffer, which outlives the call.
                let filled = unsafe { libc::syscall(libc::SYS_getdents64, fd, buffer, length) };
                self.filled = usize::try_from(filled).map_err(|_| io::Error::last_os_error())?;
                self.next = 0;
                if self.filled == 0 {
                    return Ok(None);
                }
            }
            let record = self.buffer.get(self.next..self.filled).unwrap_or_default();
            let length =
                record.get(LENGTH_AT..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u16::from_ne_bytes(*bytes));
            let name = record.get(NAME_AT..).and_then(|name| CStr::from_bytes_until_nul(name).ok());
            let (Some(name), 1..) = (name, length) else { return Err(io::ErrorKind::InvalidData.into()) };
            self.next += usize::from(length);
            if name == c"." || name == c".." {
                continue;
            }
            let is_directory = match record.get(TYPE_AT) {
                Some(&libc::DT_UNKNOWN) | None => None,
                Some(&kind) => Some(kind == libc::DT_DIR),
            };
            return Ok(Some(Name { name: name.to_owned(), is_directory }));
        }
    }

    /// What a name in this directory is, links not followed.
    pub fn stat(&self, name: &CStr) -> io::Result<libc::stat> {
        stat_at(self.fd.as_raw_fd(), name, false)
    }

    /// Where a link in this directory points to.
    pub fn read_link(&self, name: &CStr) -> io::Result<Vec<u8>> {
        read_link_at(self.fd.as_raw_fd(), name)
    }

    pub fn remove(&self, name: &CStr, is_directory: bool) -> io::Result<()> {
        let flags = if is_directory { libc::AT_REMOVEDIR } else { 0 };
        // SAFETY: a null-terminated string that outlives the call.
        let result = unsafe { libc::unlinkat(self.fd.as_raw_fd(), name.as_ptr(), flags) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

pub fn stat_at(folder: RawFd, name: &CStr, follow: bool) -> io::Result<libc::stat> {
    let flags = if follow { 0 } else { libc::AT_SYMLINK_NOFOLLOW };
    // SAFETY: all zero is a valid stat, the call writes one, and both it and the name outlive the call.
    unsafe {
        let mut found: libc::stat = std::mem::zeroed();
        if libc::fstatat(folder, name.as_ptr(), &raw mut found, flags) < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(found)
    }
}

pub fn read_link_at(folder: RawFd, name: &CStr) -> io::Result<Vec<u8>> {
    let mut target = vec![0_u8; libc::PATH_MAX as usize];
    // SAFETY: name and buffer outlive the call, and the length is the buffer's.
    let length = unsafe { libc::readlinkat(folder, name.as_ptr(), target.as_mut_ptr().cast(), target.len()) };
    target.truncate(usize::try_from(length).map_err(|_| io::Error::last_os_error())?);
    Ok(target)
}

pub fn mtime(found: &libc::stat) -> Time {
    Time { seconds: found.st_mtime, nanos: u32::try_from(found.st_mtime_nsec).unwrap_or(0) }
}
