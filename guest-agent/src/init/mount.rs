//! File systems: the initramfs's own, then the base root with what a system expects in it.

use super::console;
use crate::agent::BASE_ROOT;
use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

/// Where the disk is mounted that everything is written to.
pub const SCRATCH: &str = "/scratch";
pub const NONE: libc::c_ulong = 0;
pub const SAFE: libc::c_ulong = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
/// Group 5 is tty wherever devpts is mounted by hand.
pub const DEVPTS: &str = "gid=5,mode=620,ptmxmode=666";

/// What limits a cgroup namespace cannot be written from inside of it. Each mount from outside says it anew.
const CGROUP: &str = "nsdelegate";

/// What is mounted where: type, target, flags, options.
type Mount = (&'static str, &'static str, libc::c_ulong, &'static str);

const SYSTEM: [Mount; 6] = [
    ("proc", "proc", SAFE, ""),
    ("sysfs", "sys", SAFE, ""),
    ("devtmpfs", "dev", libc::MS_NOSUID, "mode=0755"),
    ("devpts", "dev/pts", libc::MS_NOSUID | libc::MS_NOEXEC, DEVPTS),
    ("tmpfs", "run", libc::MS_NOSUID | libc::MS_NODEV, "mode=0755"),
    ("cgroup2", "sys/fs/cgroup", SAFE, CGROUP),
];

/// Programs are run from our own folder in /run, so that one may not forbid it.
const BASE: [Mount; 7] = [
    ("proc", "proc", SAFE, ""),
    ("sysfs", "sys", SAFE, ""),
    ("devtmpfs", "dev", libc::MS_NOSUID, "mode=0755"),
    ("devpts", "dev/pts", libc::MS_NOSUID | libc::MS_NOEXEC, DEVPTS),
    ("tmpfs", "dev/shm", libc::MS_NOSUID | libc::MS_NODEV, "mode=1777"),
    ("tmpfs", "run", libc::MS_NOSUID | libc::MS_NODEV, "mode=0755"),
    ("cgroup2", "sys/fs/cgroup", SAFE, CGROUP),
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

pub fn scratch(device: &Path) -> io::Result<()> {
    fs::create_dir_all(SCRATCH)?;
    mount(&device.to_string_lossy(), Path::new(SCRATCH), "ext4", NONE, "")
}

/// Where the disk of a slot is mounted, below an overlay.
pub fn lower_folder(slot: u32) -> PathBuf {
    Path::new("/lower").join(slot.to_string())
}

pub fn lower(slot: u32, device: &Path) -> io::Result<()> {
    let folder = lower_folder(slot);
    fs::create_dir_all(&folder)?;
    mount(&device.to_string_lossy(), &folder, "erofs", libc::MS_RDONLY, "")
}

/// A writable root over a mounted disk: what is written goes to `writes`, a folder of the scratch disk.
pub fn overlay(slot: u32, writes: &Path, target: &Path, options: &str) -> io::Result<()> {
    let (lower, upper, work) = (lower_folder(slot), writes.join("upper"), writes.join("work"));
    fs::create_dir_all(&upper)?;
    fs::create_dir_all(&work)?;
    fs::create_dir_all(target)?;
    // The top of the upper directory is that of the root.
    let top = fs::metadata(&lower)?;
    chown(&upper, Some(top.uid()), Some(top.gid()))?;
    fs::set_permissions(&upper, fs::Permissions::from_mode(top.mode() & 0o7777))?;
    let [lower, upper, work] = [lower, upper, work].map(|path| path.to_string_lossy().into_owned());
    let options = format!("lowerdir={lower},upperdir={upper},workdir={work},index=on,xino=on,metacopy=off,{options}");
    mount("overlay", target, "overlay", NONE, &options)
}

/// The base root over the disk of slot 0, and in it what programs expect.
pub fn base() -> io::Result<()> {
    let root = Path::new(BASE_ROOT);
    overlay(0, &Path::new(SCRATCH).join("base"), root, "redirect_dir=on")?;
    // What the first image needs, too, which a clone then finds made.
    for folder in ["image/upper", "image/work", "shared/0", "shared/1", "mounts/0"] {
        let _ = fs::create_dir_all(Path::new(SCRATCH).join(folder));
    }
    mount_all(root, &BASE);
    for (folder, mode) in [("run/vm-runner", 0o755), ("run/lock", 0o1777)] {
        let folder = root.join(folder);
        let made =
            fs::create_dir_all(&folder).and_then(|()| fs::set_permissions(&folder, fs::Permissions::from_mode(mode)));
        complain("make a folder", &folder, made);
    }
    link_devices(&root.join("dev"));
    Ok(())
}

/// devtmpfs has the devices and none of the links.
pub fn link_devices(folder: &Path) {
    for (name, target) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
    ] {
        match symlink(target, folder.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => complain("link", Path::new(name), Err(error)),
            _ => {}
        }
    }
}

/// A template is saved from here on: its scratch disk must be whole by then.
pub fn sync_scratch() {
    if let Ok(folder) = fs::File::open(SCRATCH) {
        // SAFETY: plain system call on an open descriptor.
        unsafe { libc::syncfs(folder.as_raw_fd()) };
    }
}

/// Shows a directory at a second place, without what is mounted in it.
pub fn bind(source: &Path, target: &Path) -> io::Result<()> {
    mount(&source.to_string_lossy(), target, "", libc::MS_BIND, "")
}

/// Takes away what is mounted there, at once for names, later for what is still open.
pub fn detach(target: &Path) -> io::Result<()> {
    let target = CString::new(target.as_os_str().as_encoded_bytes())?;
    // SAFETY: a null-terminated string that outlives the call.
    if unsafe { libc::umount2(target.as_ptr(), libc::MNT_DETACH) } < 0 {
        return Err(io::Error::last_os_error());
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

pub fn mount(source: &str, target: &Path, kind: &str, flags: libc::c_ulong, options: &str) -> io::Result<()> {
    let target = CString::new(target.as_os_str().as_encoded_bytes())?;
    let [source, kind, options] = [source, kind, options].map(CString::new);
    let (source, kind, options) = (source?, kind?, options?);
    // SAFETY: four null-terminated strings that outlive the call.
    let result =
        unsafe { libc::mount(source.as_ptr(), target.as_ptr(), kind.as_ptr(), flags, options.as_ptr().cast()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
