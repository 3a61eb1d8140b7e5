//! What happens between the kernel and the first client. Nothing here stops the boot: a guest that can still say what is
//! wrong is worth more than one that cannot.

use super::disks::{BLOCK_DEVICES, Disks};
use super::{cgroup, console, modules, mount, network};
use crate::agent::{BASE_ROOT, Boot};
use crate::image::holder;
use crate::system;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

const MODULES: &str = "/etc/vm-agent/modules";
/// How long the disks may take to appear.
const DISK_DEADLINE: Duration = Duration::from_secs(10);
const RETRY: Duration = Duration::from_millis(2);

pub fn run() -> Boot {
    let mut marks = Vec::new();
    mount::system();
    mount::console();
    let _ = fs::write("/proc/self/oom_score_adj", "-1000");
    mark(&mut marks, "init");
    modules::load_all(Path::new(MODULES));
    mark(&mut marks, "modules");
    network::loopback_up();
    cgroup::delegate();
    holder::rehearse();
    let disks = wait_for_disks();
    let base = mount_base(&disks);
    match &base {
        Ok(()) => mark(&mut marks, "root"),
        Err(sentence) => console::say(sentence),
    }
    Boot { base: base.map(|()| BASE_ROOT.into()), disks, marks: marks.into() }
}

pub fn mark(marks: &mut Vec<(&'static str, u64)>, name: &'static str) {
    console::say(name);
    marks.push((name, system::uptime_ms()));
}

/// The disks that there are once the two are there that every guest has, or when the time is over.
fn wait_for_disks() -> Disks {
    let deadline = Instant::now() + DISK_DEADLINE;
    loop {
        let disks = Disks::find(Path::new(BLOCK_DEVICES));
        if disks.scratch().is_some() && disks.slot(0).is_some() || Instant::now() >= deadline {
            return disks;
        }
        std::thread::sleep(RETRY);
    }
}

fn mount_base(disks: &Disks) -> Result<(), String> {
    let missing =
        |name: &str| format!("the disk with serial {name} did not appear; see the VM's devices and its modules");
    let scratch = disks.scratch().ok_or_else(|| missing("scratch"))?;
    let lower = disks.slot(0).ok_or_else(|| missing("slot0"))?;
    let failed = |what, device: &Path, error| format!("cannot mount {what}: {}: {error}", device.display());
    mount::scratch(scratch).map_err(|error| failed("the scratch disk as ext4", scratch, error))?;
    mount::lower(0, lower).map_err(|error| failed("the disk of the base root as erofs", lower, error))?;
    mount::base().map_err(|error| format!("cannot lay an overlay over the base root: {error}"))?;
    mount::sync_scratch();
    Ok(())
}
