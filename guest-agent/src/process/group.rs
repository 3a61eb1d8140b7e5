//! The cgroups that programs run in, where there is cgroup v2.

use crate::image::limits::Limits;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// The cgroup of all that runs in the image root, below the top one.
pub const IMAGE: &str = "image";

/// The folder that the cgroups of programs are made in, if this system has one.
#[derive(Clone, Debug, Default)]
pub struct Groups {
    /// The cgroup of this process.
    top: Option<PathBuf>,
    parent: Option<PathBuf>,
    made: u64,
    left: Vec<PathBuf>,
}

impl Groups {
    /// Uses a cgroup2 mount if it can be written.
    pub fn find() -> Self {
        let top = cgroup_of_this_process();
        let parent = top.as_ref().map(|top| top.join(format!("vm-agent-{}", std::process::id())));
        let parent = parent.filter(|parent| fs::create_dir(parent).is_ok() || parent.is_dir());
        Self { top, parent, ..Self::default() }
    }

    pub fn available(&self) -> bool {
        self.parent.is_some()
    }

    /// The cgroup of all that runs in the image root. Those of its programs are below it, and nothing is in itself, so that
    /// what is delegated there can be divided further.
    pub fn image(&self, limits: &Limits) -> io::Result<PathBuf> {
        let top = self.top.as_ref().ok_or_else(|| io::Error::other("there is no cgroup2 file system"))?;
        let folder = top.join(IMAGE);
        fs::create_dir_all(folder.join("init"))?;
        for (name, limit) in [("pids.max", limits.pids), ("memory.max", limits.memory_bytes)] {
            if limit > 0 {
                fs::write(folder.join(name), limit.to_string())?;
            }
        }
        Ok(folder)
    }

    /// A new empty cgroup in that of an image, else in our own, and its open cgroup.procs.
    pub fn make(&mut self, image: Option<&Path>) -> Option<(PathBuf, OwnedFd)> {
        // What still had background processes in it earlier may be empty by now.
        self.left
            .retain(|folder| fs::remove_dir(folder).is_err_and(|error| error.kind() == io::ErrorKind::ResourceBusy));
        self.made += 1;
        let folder = image.or(self.parent.as_deref())?.join(format!("exec-{}", self.made));
        fs::create_dir(&folder).ok()?;
        let procs = fs::OpenOptions::new().write(true).open(folder.join("cgroup.procs")).ok()?;
        Some((folder, procs.into()))
    }

    /// Removes a cgroup, later if something still runs in it.
    pub fn give_back(&mut self, folder: &Path) {
        if fs::remove_dir(folder).is_err() {
            self.left.push(folder.to_owned());
        }
    }

    pub fn remove(&self) {
        for folder in self.left.iter().chain(&self.parent) {
            let _ = fs::remove_dir(folder);
        }
    }
}

fn cgroup_of_this_process() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    let mount = mounts.lines().find_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let (folder, kind) = (fields.next()?, fields.next()?);
        (kind == "cgroup2").then_some(folder)
    })?;
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    let own = own.lines().find_map(|line| line.strip_prefix("0::/"))?;
    Some(Path::new(mount).join(own))
}
