//! File systems: the initramfs's own, then the image's root with what a system expects in it.

use super::console;
use crate::agent::IMAGE_ROOT;
use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

const NONE: libc::c_ulong = 0;
const SAFE: libc::c_ulong = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
/// Group 5 is tty wherever devpts is mounted by hand.
const DEVPTS: &str = "gid=5,mode=620,ptmxmode=666";

/// What is mounted where: type, target, flags, options.
type Mount = (&'static str, &'static str, libc::c_ulong, &'static str);

const SYSTEM: [Mount; 6] = [
    ("proc", "proc", SAFE, ""),
    ("sysfs", "sys", SAFE, ""),
    ("devtmpfs", "dev", libc::MS_NOSUID, "mode=0755"),
    ("devpts", "dev/pts", libc::MS_NOSUID | libc::MS_NOEXEC, DEVPTS),
    ("tmpfs", "run", libc::MS_NOSUID | libc::MS_NODEV, "mode=0755"),
    ("cgroup2", "sys/fs/cgroup", SAFE, ""),
];

/// Programs are run from our own folder in /run, so that one may not forbid it.
const IMAGE: [Mount; 7] = [
    ("proc", "proc", SAFE, ""),
    ("sysfs", "sys", SAFE, ""),
    ("devtmpfs", "dev", libc::MS_NOSUID, "mode=0755"),
    ("devpts", "dev/pts", libc::MS_NOSUID | libc::MS_NOEXEC, DEVPTS),
    ("tmpfs", "dev/shm", libc::MS_NOSUID | libc::MS_NODEV, "mode=1777"),
    ("tmpfs", "run", libc::MS_NOSUID | libc::MS_NODEV, "mode=0755"),
    ("cgroup2", "sys/fs/cgroup", SAFE, ""),
];

/// The initramfs's own file systems.
pub fn system() {
    mount_all(Path::new("/"), &SYSTEM);
}

/// Sends our standard input and output to the console: the kernel may have started us without any.
pub fn console() {
    let Ok(console) = fs::OpenOptions::new().read(true).write(true).open("/dev/console") else { return };
    for target in 0..3 {
        // SAFETY: plain system call.
        unsafe { libc::dup2(console.as_raw_fd(), target) };
    }
    if console.as_raw_fd() < 3 {
        // It is one of the three now, and must stay open.
        std::mem::forget(console);
    }
}

/// The image's root from its disk, and in it what programs expect.
pub fn image(device: &str, kind: &str) -> io::Result<()> {
    fs::create_dir_all(IMAGE_ROOT)?;
    mount(device, Path::new(IMAGE_ROOT), kind, NONE, "")?;
    let root = Path::new(IMAGE_ROOT);
    mount_all(root, &IMAGE);
    for (folder, mode) in [("run/vm-runner", 0o755), ("run/lock", 0o1777)] {
        let folder = root.join(folder);
        let made =
            fs::create_dir_all(&folder).and_then(|()| fs::set_permissions(&folder, fs::Permissions::from_mode(mode)));
        complain("make a folder", &folder, made);
    }
    // devtmpfs has the devices and none of the links.
    for (name, target) in [
        ("dev/fd", "/proc/self/fd"),
        ("dev/stdin", "/proc/self/fd/0"),
        ("dev/stdout", "/proc/self/fd/1"),
        ("dev/stderr", "/proc/self/fd/2"),
    ] {
        match symlink(target, root.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => complain("link", Path::new(name), Err(error)),
            _ => {}
        }
    }
    Ok(())
}

fn mount_all(root: &Path, mounts: &[Mount]) {
    for (kind, target, flags, options) in mounts {
        let target = root.join(target);
        let mounted = fs::create_dir_all(&target).and_then(|()| mount(kind, &target, kind, *flags, options));
        complain("mount", &target, mounted);
    }
}

fn complain(what: &str, path: &Path, result: io::Result<()>) {
    match result {
        // The kernel mounts devtmpfs by itself when it is told to.
        Err(error) if error.raw_os_error() != Some(libc::EBUSY) => {
            console::say(&format!("cannot {what}: {}: {error}", path.display()));
        }
        _ => {}
    }
}

fn mount(source: &str, target: &Path, kind: &str, flags: libc::c_ulong, options: &str) -> io::Result<()> {
    let target = CString::new(target.as_os_str().as_encoded_bytes())?;
    let [source, kind, options] = [source, kind, options].map(CString::new);
    let (source, kind, options) = (source?, kind?, options?);
    // SAFETY: four null-terminated strings that outlive the call.
    let result =
        unsafe { libc::mount(source.as_ptr(), target.as_ptr(), kind.as_ptr(), flags, options.as_ptr().cast()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
