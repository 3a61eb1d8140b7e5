//! All processes that came from one program, and their end.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How often a tree that was told to end is looked at.
const POLL: Duration = Duration::from_millis(10);
/// How long killed processes may take to be gone: one that is stuck in the kernel must not hold the agent for ever.
const KILL_BOUND: Duration = Duration::from_secs(2);

/// The processes of one program.
#[derive(Clone, Debug)]
pub struct Tree {
    /// The program itself.
    pub pid: i32,
    pub bond: Bond,
}

/// What keeps the processes of a program together.
#[derive(Clone, Debug)]
pub enum Bond {
    /// All are in this cgroup or in one below it.
    Cgroup(PathBuf),
    /// All descend from this keeper.
    Keeper(i32),
    /// There is but the one.
    Alone,
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
        let killed = matches!(&self.bond, Bond::Cgroup(folder) if fs::write(folder.join("cgroup.kill"), "1").is_ok());
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
        match &self.bond {
            Bond::Cgroup(folder) => cgroup_members(folder, &mut members),
            Bond::Keeper(keeper) => descendants(*keeper, &mut members),
            Bond::Alone => members.extend(read_process(self.pid).filter(Process::is_live).map(|process| process.pid)),
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

/// Live processes below this one, itself left out.
fn descendants(ancestor: i32, members: &mut Vec<i32>) {
    let Ok(entries) = fs::read_dir("/proc") else { return };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let mut others: Vec<Process> = pids.filter_map(read_process).collect();
    let mut parents = vec![ancestor];
    while let Some(parent) = parents.pop() {
        others.retain(|process| {
            let is_child = process.parent == parent;
            if is_child {
                parents.push(process.pid);
                if process.is_live() {
                    members.push(process.pid);
                }
            }
            !is_child
        });
    }
}

struct Process {
    pid: i32,
    state: u8,
    parent: i32,
}

impl Process {
    /// A dead one that nobody has reaped yet has nothing left to end.
    fn is_live(&self) -> bool {
        self.state != b'Z'
    }
}

fn read_process(pid: i32) -> Option<Process> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything, so the fields are counted from its end.
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ');
    let state = *fields.next()?.as_bytes().first()?;
    Some(Process { pid, state, parent: fields.next()?.parse().ok()? })
}
