//! File systems that a test mounts.

use std::process::Command;

/// Gone with the test.
pub struct Mount(String);

impl Mount {
    /// Mounts with these arguments of mount(8), the directory made first. None, said aloud, where that is not allowed.
    pub fn new(arguments: &[&str], directory: &str) -> Option<Self> {
        std::fs::create_dir_all(directory).unwrap();
        let output = Command::new("mount").args(arguments).arg(directory).output().unwrap();
        if output.status.success() {
            return Some(Self(directory.to_owned()));
        }
        let why = String::from_utf8_lossy(&output.stderr).into_owned();
        // SAFETY: plain system call.
        let is_root = unsafe { libc::geteuid() } == 0;
        assert!(!is_root, "root could not mount: {why}");
        eprintln!("NOT TESTED, mounting needs root: {why}");
        None
    }

    pub fn tmpfs(size: &str, directory: &str) -> Option<Self> {
        Self::new(&["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"], directory)
    }

    pub fn remount(&self, option: &str) {
        let status = Command::new("mount").args(["-o", &format!("remount,{option}"), &self.0]).status().unwrap();
        assert!(status.success());
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}
