//! Kernel modules from the initramfs, in the order in which its list names them.

use super::console;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

const FOLDER: &str = "/lib/modules";

/// Loads every module of a list with one file name a line. One that fails costs a line on the console, no more.
pub fn load_all(list: &Path) {
    for name in fs::read_to_string(list).unwrap_or_default().lines().map(str::trim).filter(|name| !name.is_empty()) {
        let file = if name.ends_with(".ko") { name.to_owned() } else { format!("{name}.ko") };
        if let Err(error) = load(&Path::new(FOLDER).join(&file)) {
            console::say(&format!("cannot load a module: {file}: {error}"));
        }
    }
}

fn load(path: &Path) -> io::Result<()> {
    let file = File::open(path)?;
    // SAFETY: the descriptor is open and the parameters are a null-terminated string.
    let result = unsafe { libc::syscall(libc::SYS_finit_module, file.as_raw_fd(), c"".as_ptr(), 0) };
    match io::Error::last_os_error() {
        _ if result == 0 => Ok(()),
        // Loaded already, or built into the kernel.
        error if error.raw_os_error() == Some(libc::EEXIST) => Ok(()),
        error => Err(error),
    }
}
