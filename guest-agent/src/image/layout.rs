//! What is mounted where in an image root, seen from the one process that makes it.

use super::mark;
use super::plan::{Plan, Source};
use super::room::OWN_FOLDER;
use crate::init::mount::{self, DEVPTS, SAFE, SCRATCH, bind, detach, mount as mount_at};
use crate::{identity, root, system};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

/// Where the root is put together before it becomes the root.
const IMAGE: &str = "/image";
/// Of the initramfs. An overlay keeps what is below it.
const LEFT_BEHIND: [&str; 5] = ["/lower/0", "/run", "/sys", "/dev", "/proc"];

type Mount = (&'static str, &'static str, libc::c_ulong, &'static str);

/// What every image root has, in order.
const USUAL: [Mount; 5] = [
    ("proc", "/proc", SAFE, ""),
    ("sysfs", "/sys", SAFE, ""),
    ("cgroup2", "/sys/fs/cgroup", SAFE, ""),
    ("devtmpfs", "/dev", libc::MS_NOSUID, "mode=0755"),
    ("devpts", "/dev/pts", libc::MS_NOSUID | libc::MS_NOEXEC, DEVPTS),
];

pub struct Orders<'a> {
    pub plan: &'a Plan,
    pub base: &'a Path,
    /// The image's disk, unless it is the base root.
    pub device: Option<&'a Path>,
    /// Where the shared directories are, in the order of the plan.
    pub shared: &'a [PathBuf],
    /// Files for /etc: name and text.
    pub etc: &'a [(&'static str, String)],
}

pub struct Failure {
    pub reason: &'static str,
    pub sentence: String,
}

/// Says what could not be done.
trait Doing<T> {
    fn doing(self, what: &str) -> Result<T, Failure>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, what: &str) -> Result<T, Failure> {
        self.map_err(|error| Failure { reason: "setup-failed", sentence: format!("cannot {what}: {error}") })
    }
}

/// Makes the namespaces and the root of this process, which was born as process 1 of a PID namespace.
pub fn make(orders: &Orders<'_>, cgroup: &Path) -> Result<(), Failure> {
    // The top of the new cgroup namespace is where we are now; processes stand below it, so that it can be divided.
    fs::write(cgroup.join("cgroup.procs"), "0").doing("enter the image's cgroup")?;
    // SAFETY: plain system calls.
    let unshared = unsafe {
        libc::umask(0o022);
        libc::unshare(libc::CLONE_NEWNS | libc::CLONE_NEWIPC | libc::CLONE_NEWCGROUP)
    };
    if unshared < 0 {
        return Err(io::Error::last_os_error()).doing("make new namespaces");
    }
    fs::write(cgroup.join("init/cgroup.procs"), "0").doing("enter the cgroup of the image's init")?;
    mount_at("none", Path::new("/"), "", libc::MS_REC | libc::MS_PRIVATE, "").doing("make the mounts private")?;
    top(orders)?;
    let outside = Outside::open(orders).doing("open what both roots share")?;
    for folder in LEFT_BEHIND.map(PathBuf::from).into_iter().chain([mount::lower_folder(orders.plan.slot)]) {
        let _ = detach(&folder);
    }
    become_root().doing("make the image root the root")?;
    fill(orders, &outside)?;
    outside.leave();
    Ok(())
}

/// The root itself, without anything in it.
fn top(orders: &Orders<'_>) -> Result<(), Failure> {
    let image = Path::new(IMAGE);
    fs::create_dir_all(image).doing("make a folder for the image")?;
    let Some(device) = orders.device else {
        return bind(orders.base, image).doing("bind the base root");
    };
    let slot = orders.plan.slot;
    mount::lower(slot, device).map_err(|error| Failure {
        reason: "no-image",
        sentence: format!("cannot mount the image's disk as erofs: slot {slot}: {error}"),
    })?;
    // Renaming a directory of the image is quick, or can be told as a layer.
    let redirect = if orders.plan.keeps_changes { "redirect_dir=off" } else { "redirect_dir=on" };
    mount::overlay(slot, &Path::new(SCRATCH).join("image"), image, redirect).doing("lay an overlay over the image")
}

/// What comes from outside of the image root: open, because there are no paths to it afterwards.
struct Outside {
    scratch: File,
    base: File,
    /// Of the default image, for the kernel that runs.
    modules: Option<(File, String)>,
    /// The base root's /run when that is the image root.
    run: Option<File>,
    shared: Vec<File>,
    made: Vec<File>,
}

impl Outside {
    fn open(orders: &Orders<'_>) -> io::Result<Self> {
        let place = |path: &Path| root::open_path(Path::new("/"), &path.to_string_lossy());
        let release = system::kernel_release();
        let folder = format!("/lib/modules/{release}");
        let modules = orders.device.and_then(|_| root::open_path(orders.base, folder.trim_start_matches('/')).ok());
        let folders = Path::new(SCRATCH).join("mounts");
        let mut made = Vec::new();
        for number in 0..orders.plan.mounts.len() {
            let folder = folders.join(number.to_string());
            fs::create_dir_all(&folder)?;
            made.push(place(&folder)?);
        }
        Ok(Self {
            scratch: place(Path::new(SCRATCH))?,
            base: place(orders.base)?,
            modules: modules.map(|file| (file, folder)),
            run: if orders.device.is_none() { Some(place(&orders.base.join("run"))?) } else { None },
            shared: orders.shared.iter().map(|path| place(path)).collect::<io::Result<_>>()?,
            made,
        })
    }

    /// What is not reachable by a path any more is not mounted any more, either.
    fn leave(self) {
        for folder in [&self.base, &self.scratch] {
            let _ = detach(&root::path_of(folder));
        }
    }
}

/// Not a chroot, which the kernel would hold against user namespaces: the root of all in this mount namespace.
fn become_root() -> io::Result<()> {
    std::env::set_current_dir(IMAGE)?;
    mount_at(".", Path::new("/"), "", libc::MS_MOVE, "")?;
    std::os::unix::fs::chroot(".")?;
    std::env::set_current_dir("/")
}

/// From here on every path, and every link in it, means the image root.
fn fill(orders: &Orders<'_>, outside: &Outside) -> Result<(), Failure> {
    let plan = orders.plan;
    for (kind, target, flags, options) in USUAL {
        let made = folder(Path::new(target)).and_then(|()| mount_at(kind, Path::new(target), kind, flags, options));
        made.doing(&format!("mount {kind} at {target} of the image"))?;
    }
    mount::link_devices(Path::new("/dev"));
    let size = if plan.limits.shm_bytes == 0 { String::new() } else { format!(",size={}", plan.limits.shm_bytes) };
    tmpfs("/dev/shm", &format!("mode=1777{size}"), libc::MS_NODEV).doing("mount /dev/shm of the image")?;
    // Not every kernel has message queues.
    let _ = folder(Path::new("/dev/mqueue"))
        .and_then(|()| mount_at("mqueue", Path::new("/dev/mqueue"), "mqueue", SAFE, ""));
    if let Some((modules, target)) = &outside.modules {
        // An image whose /lib cannot be used has no use for modules.
        let _ = folder(Path::new(target)).and_then(|()| bind_read_only(modules, Path::new(target)));
    }
    run(plan, outside).doing("make /run/vm-runner of the image")?;
    if !Path::new("/tmp").exists() {
        folder(Path::new("/tmp")).and_then(|()| set_mode(Path::new("/tmp"), 0o1777)).doing("make /tmp of the image")?;
    }
    for (directory, source) in plan.shared.iter().zip(&outside.shared) {
        let target = Path::new(&directory.path);
        let bound = folder(target).and_then(|()| bind(&root::path_of(source), target));
        bound.doing(&format!("share the directory {}", directory.path))?;
    }
    for (wanted, source) in plan.mounts.iter().zip(&outside.made) {
        let mounted = match wanted.source {
            Source::Tmpfs { size, mode } => {
                let size = if size == 0 { String::new() } else { format!(",size={size}") };
                tmpfs(&wanted.path, &format!("mode={mode:o}{size}"), libc::MS_NODEV)
            }
            Source::Scratch => cover(Path::new(&wanted.path), source),
        };
        mounted.doing(&format!("mount at {} of the image", wanted.path))?;
    }
    for (name, text) in orders.etc {
        let written = folder(Path::new("/etc")).and_then(|()| identity::write(Path::new("/"), name, text));
        written.doing(&format!("write /etc/{name} of the image"))?;
        mark::written(&Path::new("/etc").join(name));
    }
    if !plan.config.working_directory.is_empty() {
        let directory = &plan.config.working_directory;
        folder(Path::new(directory)).doing(&format!("make the working directory: {directory}"))?;
    }
    Ok(())
}

/// Our own folder, where programs may be run whatever the image forbids. An init finds a /run of its own kind.
fn run(plan: &Plan, outside: &Outside) -> io::Result<()> {
    if let Some(run) = &outside.run {
        return bind(&root::path_of(run), Path::new("/run"));
    }
    if !plan.init.is_empty() {
        tmpfs("/run", "mode=0755", libc::MS_NODEV)?;
    }
    tmpfs(OWN_FOLDER, "mode=0755", libc::MS_NODEV)
}

/// A memory file system, mounted where a folder is made for it.
fn tmpfs(target: &str, options: &str, flags: libc::c_ulong) -> io::Result<()> {
    folder(Path::new(target))?;
    mount_at("tmpfs", Path::new(target), "tmpfs", libc::MS_NOSUID | flags, options)
}

fn bind_read_only(source: &File, target: &Path) -> io::Result<()> {
    bind(&root::path_of(source), target)?;
    mount_at("none", target, "", libc::MS_REMOUNT | libc::MS_BIND | libc::MS_RDONLY, "")
}

/// Lays an empty directory of the scratch disk over one of the image, unless that has something in it.
fn cover(target: &Path, source: &File) -> io::Result<()> {
    folder(target)?;
    if fs::read_dir(target)?.next().is_some() {
        return Ok(());
    }
    let (covered, cover) = (fs::metadata(target)?, root::path_of(source));
    chown(&cover, Some(covered.uid()), Some(covered.gid()))?;
    set_mode(&cover, covered.mode() & 0o7777)?;
    bind(&cover, target)
}

/// Makes what is missing of a path, with a mark that it was us.
fn folder(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        folder(parent)?;
    }
    fs::create_dir(path)?;
    set_mode(path, 0o755)?;
    mark::made(path);
    Ok(())
}

/// Exactly, whatever the umask is.
pub fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}
