//! An image root that was entered: the way into its namespaces, and what holds for programs there.

use super::config::Config;
use super::limits::Resource;
use super::plan::Plan;
use crate::root;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::path::PathBuf;

/// Our own folder in it: scripts are there while they run.
pub const OWN_FOLDER: &str = "/run/vm-runner";

pub struct Room {
    /// The process that holds the namespaces.
    holder: OwnedFd,
    /// Our own PID namespace, to come back to.
    home: OwnedFd,
    /// The image root as the agent sees it.
    pub root: PathBuf,
    /// The folder for scripts, open: the image could make its path mean one of ours.
    pub scripts: PathBuf,
    _scripts: File,
    pub cgroup: PathBuf,
    pub config: Config,
    pub resources: Vec<Resource>,
    pub slot: u32,
    /// The image's own disk, unless it is the base root.
    pub device: Option<PathBuf>,
    /// Whether the holder is our own, which does nothing but reap.
    pub holds_only: bool,
    pub holder_pid: i32,
}

impl Room {
    pub fn open(pid: i32, plan: Plan, cgroup: PathBuf, device: Option<PathBuf>) -> io::Result<Self> {
        // SAFETY: a plain system call that makes a descriptor, closed on exec.
        let holder = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
        let holder = RawFd::try_from(holder).ok().filter(|fd| *fd >= 0).ok_or_else(io::Error::last_os_error)?;
        // SAFETY: the descriptor was just made and belongs to nobody else.
        let holder = unsafe { OwnedFd::from_raw_fd(holder) };
        let root = PathBuf::from(format!("/proc/{pid}/root"));
        let scripts = root::open_path(&root, OWN_FOLDER.trim_start_matches('/'))?;
        Ok(Self {
            holder,
            home: File::open("/proc/self/ns/pid")?.into(),
            root,
            scripts: root::path_of(&scripts),
            _scripts: scripts,
            cgroup,
            resources: plan.limits.resources,
            slot: plan.slot,
            device,
            holds_only: plan.init.is_empty(),
            holder_pid: pid,
            config: plan.config,
        })
    }

    /// While this lives, processes that the agent forks are born into the image's PID namespace.
    pub fn visit(&self) -> io::Result<Visit<'_>> {
        join(&self.holder, libc::CLONE_NEWPID)?;
        Ok(Visit(&self.home))
    }

    /// Enters all that can be entered of a process that is alive. Runs between fork and exec.
    pub fn enter(&self) -> bool {
        let namespaces = libc::CLONE_NEWNS | libc::CLONE_NEWIPC | libc::CLONE_NEWCGROUP;
        // The root and the working directory come with the mounts.
        join(&self.holder, namespaces).is_ok()
    }
}

pub struct Visit<'a>(&'a OwnedFd);

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        // Cannot fail: it is our own.
        let _ = join(self.0, libc::CLONE_NEWPID);
    }
}

fn join(fd: &OwnedFd, namespaces: libc::c_int) -> io::Result<()> {
    // SAFETY: plain system call.
    if unsafe { libc::setns(fd.as_raw_fd(), namespaces) } < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
