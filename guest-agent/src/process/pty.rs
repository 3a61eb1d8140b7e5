//! Pseudo-terminals, made in the devpts of the root that the program will see.

use crate::root;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::path::Path;

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Size {
    pub rows: u16,
    pub columns: u16,
}

impl Size {
    /// A size from the wire, where numbers may be absurd.
    pub fn clamped(rows: u32, columns: u32) -> Self {
        let clamp = |number: u32| u16::try_from(number).unwrap_or(u16::MAX);
        Self { rows: clamp(rows), columns: clamp(columns) }
    }
}

/// A new terminal of this size: the agent's end, the program's end.
pub fn open(root: &Path, size: Size) -> io::Result<(OwnedFd, OwnedFd)> {
    let master = root::open_device(root, "dev/pts/ptmx").or_else(|_| root::open_device(root, "dev/ptmx"))?;
    let unlocked: libc::c_int = 0;
    // SAFETY: the ioctl reads one int, which outlives it.
    if unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCSPTLCK as _, &raw const unlocked) } < 0 {
        return Err(io::Error::last_os_error());
    }
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: a plain ioctl that makes a descriptor.
    let slave: RawFd = unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCGPTPEER as _, flags) };
    if slave < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor was just made and belongs to nobody else.
    let slave = unsafe { OwnedFd::from_raw_fd(slave) };
    resize(master.as_raw_fd(), size);
    Ok((master.into(), slave))
}

/// Sets the size; a terminal whose program is gone does not care.
pub fn resize(master: RawFd, size: Size) {
    let size = libc::winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the ioctl reads one winsize, which outlives it.
    unsafe { libc::ioctl(master, libc::TIOCSWINSZ as _, &raw const size) };
}
