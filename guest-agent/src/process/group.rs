//! All processes that came from one program: a cgroup where there is cgroup v2, else its process group and session.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How often a tree that was told to end is looked at.
const POLL: Duration = Duration::from_millis(10);
/// How long killed processes may take to be gone: one that is stuck in the kernel must not hold the agent for ever.
const KILL_BOUND: Duration = Duration::from_secs(2);

/// The folder that the cgroups of programs are made in, if this system has one.
#[derive(Clone, Debug, Default)]
pub struct Groups {
    parent: Option<PathBuf>,
    made: u64,
    left: Vec<PathBuf>,
}

impl Groups {
    /// Uses a cgroup2 mount if it can be written.
    pub fn find() -> Self {
        let parent = cgroup_of_this_process().map(|own| own.join(format!("vm-agent-{}", std::process::id())));
        Self { parent: parent.filter(|parent| fs::create_dir(parent).is_ok() || parent.is_dir()), ..Self::default() }
    }

    pub fn available(&self) -> bool {
        self.parent.is_some()
    }

    /// A new empty cgroup and its open cgroup.procs.
    pub fn make(&mut self) -> Option<(PathBuf, OwnedFd)> {
        // What still had background processes in it earlier may be empty by now.
        self.left
            .retain(|folder| fs::remove_dir(folder).is_err_and(|error| error.kind() == io::ErrorKind::ResourceBusy));
        self.made += 1;
        let folder = self.parent.as_ref()?.join(format!("exec-{}", self.made));
        fs::create_dir(&folder).ok()?;
        let procs = fs::OpenOptions::new().write(true).open(folder.join("cgroup.procs")).ok()?;
        Some((folder, procs.into()))
    }

    pub fn give_back(&mut self, tree: &Tree) {
        if let Some(folder) = &tree.cgroup
            && fs::remove_dir(folder).is_err()
        {
            self.left.push(folder.clone());
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

/// The processes of one program.
#[derive(Clone, Debug)]
pub struct Tree {
    /// The program itself: leader of its session and of its process group.
    pub pid: i32,
    pub cgroup: Option<PathBuf>,
}

impl Tree {
    /// Sends a signal to every process there is. Those that are born meanwhile may miss it, which is why `end` goes on.
    pub fn signal(&self, number: i32) {
        for pid in self.members() {
            // SAFETY: plain system call. A pid of a process that ended just now cannot belong to another one before all
            // others were used up.
            unsafe { libc::kill(pid, number) };
        }
    }

    /// SIGTERM, the grace, SIGKILL; then it is gone.
    pub async fn end(&self, grace: Duration) {
        self.signal(libc::SIGTERM);
        // A stopped process could not act on it.
        self.signal(libc::SIGCONT);
        if self.emptied_by(Instant::now() + grace).await {
            return;
        }
        let bound = Instant::now() + KILL_BOUND;
        while Instant::now() < bound {
            self.kill();
            if self.emptied_by(Instant::now() + 5 * POLL).await {
                return;
            }
        }
    }

    fn kill(&self) {
        // In one stroke, so that a fork cannot get away.
        let killed = self.cgroup.as_ref().is_some_and(|folder| fs::write(folder.join("cgroup.kill"), "1").is_ok());
        if !killed {
            self.signal(libc::SIGKILL);
        }
    }

    async fn emptied_by(&self, deadline: Instant) -> bool {
        loop {
            if self.members().is_empty() {
                return true;
            }
            if Instant::now() >= deadline {
                return false;
            }
            sleep(POLL).await;
        }
    }

    fn members(&self) -> Vec<i32> {
        let mut members = Vec::new();
        match &self.cgroup {
            Some(folder) => cgroup_members(folder, &mut members),
            None => session_members(self.pid, &mut members),
        }
        members
    }
}

/// Processes of a cgroup and of the cgroups that the program made below it.
fn cgroup_members(folder: &Path, members: &mut Vec<i32>) {
    if let Ok(pids) = fs::read_to_string(folder.join("cgroup.procs")) {
        members.extend(pids.lines().filter_map(|line| line.parse::<i32>().ok()).filter(|pid| *pid > 0));
    }
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            cgroup_members(&entry.path(), members);
        }
    }
}

/// Live processes whose process group or session the program leads.
fn session_members(leader: i32, members: &mut Vec<i32>) {
    let Ok(entries) = fs::read_dir("/proc") else { return };
    for entry in entries.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        // The name in parentheses may hold anything, so the fields are counted from its end.
        let Some((_, fields)) = stat.rsplit_once(") ") else { continue };
        let mut fields = fields.split(' ');
        let (state, _parent) = (fields.next(), fields.next());
        let group_and_session = [fields.next(), fields.next()].map(|field| field.and_then(|text| text.parse().ok()));
        if state != Some("Z") && group_and_session.contains(&Some(leader)) {
            members.push(pid);
        }
    }
}
