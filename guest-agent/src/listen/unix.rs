//! A unix socket's file: made with its final permissions, and gone with the agent.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// The file of a bound socket, removed with this.
pub struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

pub fn bind(path: &Path) -> io::Result<(OwnedFd, SocketFile)> {
    remove_stale(path)?;
    // The file must never be there with more than its final permissions.
    // SAFETY: umask cannot fail and this process has one thread.
    let umask = unsafe { libc::umask(0o177) };
    let listener = UnixListener::bind(path);
    // SAFETY: as above.
    unsafe { libc::umask(umask) };
    let listener = listener?;
    let file = SocketFile(path.to_owned());
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok((listener.into(), file))
}

/// Removes a socket that nobody listens on. Anything else at the path stays, and binding says so.
fn remove_stale(path: &Path) -> io::Result<()> {
    let Ok(metadata) = fs::symlink_metadata(path) else { return Ok(()) };
    if metadata.file_type().is_socket() && UnixStream::connect(path).is_err() {
        fs::remove_file(path)?;
    }
    Ok(())
}
