//! A file that has no name, or a hidden one, until it is whole.
//!
//! It is made with O_TMPFILE: whatever kills the worker, the kernel frees what has no name. Where the file system has no such
//! files (FAT, most network ones) it has a name beside its place. That is removed when the worker fails; one that a killed
//! worker left is removed by the next upload into the same directory.

use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

const PREFIX: &str = ".vm-agent-";
/// No upload that lives leaves its file alone for so long.
const ABANDONED: Duration = Duration::from_secs(3600);

pub struct Temporary {
    pub file: File,
    /// The name that it gets on its way to its place.
    path: PathBuf,
    named: bool,
}

impl Temporary {
    /// A new file in this directory, readable by its owner only.
    pub fn create(folder: &Path) -> io::Result<Self> {
        let path = folder.join(format!("{PREFIX}{}", std::process::id()));
        // A nameless file gets its name through /proc, which a root may lack.
        if Path::new("/proc/self/fd").exists() {
            let nameless = OpenOptions::new().write(true).mode(0o600).custom_flags(libc::O_TMPFILE).open(folder);
            match nameless {
                Ok(file) => return Ok(Self { file, path, named: false }),
                Err(error) if matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::EISDIR | libc::EINVAL)) => {}
                Err(error) => return Err(error),
            }
        }
        remove_abandoned(folder);
        let create = || OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let file = create().or_else(|error| match error.kind() {
            // Of a worker that was killed, since no live one has our pid.
            io::ErrorKind::AlreadyExists => fs::remove_file(&path).and_then(|()| create()),
            _ => Err(error),
        })?;
        Ok(Self { file, path, named: true })
    }

    /// Gives it its name, in one step also when there was a file of that name.
    pub fn place(mut self, target: &Path) -> io::Result<()> {
        if !self.named {
            match self.link(target) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                linked => return linked,
            }
            let _ = fs::remove_file(&self.path);
            self.link(&self.path)?;
            self.named = true;
        }
        fs::rename(&self.path, target)?;
        self.named = false;
        Ok(())
    }

    fn link(&self, target: &Path) -> io::Result<()> {
        let source = CString::new(format!("/proc/self/fd/{}", self.file.as_raw_fd()))?;
        let target = CString::new(target.as_os_str().as_bytes())?;
        let (source, target, here) = (source.as_ptr(), target.as_ptr(), libc::AT_FDCWD);
        // SAFETY: two null-terminated strings that outlive the call.
        let result = unsafe { libc::linkat(here, source, here, target, libc::AT_SYMLINK_FOLLOW) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if self.named {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Failing is no reason not to take the upload.
fn remove_abandoned(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let now = SystemTime::now();
    for entry in entries.flatten() {
        let is_ours = entry.file_name().as_bytes().starts_with(PREFIX.as_bytes());
        let is_old = || {
            let metadata = entry.metadata().ok().filter(|metadata| metadata.is_file() && metadata.nlink() == 1)?;
            now.duration_since(metadata.modified().ok()?).ok()
        };
        if is_ours && is_old().is_some_and(|age| age > ABANDONED) {
            let _ = fs::remove_file(entry.path());
        }
    }
}
