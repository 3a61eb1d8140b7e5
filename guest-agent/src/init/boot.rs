//! What happens between the kernel and the first client. Nothing here stops the boot: a guest that can still say what is
//! wrong is worth more than one that cannot.

use super::{console, modules, mount, network};
use crate::agent::{Boot, IMAGE_ROOT};
use crate::system;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

const MODULES: &str = "/etc/vm-agent/modules";
/// How long the root disk may take to appear.
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
    let root = mount_root(&fs::read_to_string("/proc/cmdline").unwrap_or_default());
    match &root {
        Ok(_) => mark(&mut marks, "root"),
        Err(sentence) => console::say(sentence),
    }
    Boot { root: root.map(|()| IMAGE_ROOT.into()), marks: marks.into() }
}

pub fn mark(marks: &mut Vec<(&'static str, u64)>, name: &'static str) {
    console::say(name);
    marks.push((name, system::uptime_ms()));
}

fn mount_root(kernel_line: &str) -> Result<(), String> {
    let device = option(kernel_line, "vmagent.root").unwrap_or("/dev/vda");
    let kind = option(kernel_line, "vmagent.rootfstype").unwrap_or("ext4");
    let deadline = Instant::now() + DISK_DEADLINE;
    while !Path::new(device).exists() {
        if Instant::now() >= deadline {
            return Err(format!("the root disk did not appear: {device}; see the VM's devices and its modules"));
        }
        std::thread::sleep(RETRY);
    }
    mount::image(device, kind).map_err(|error| format!("cannot mount the root disk: {device} as {kind}: {error}"))
}

/// The last value of `name=value`, as the kernel takes its own options.
fn option<'a>(kernel_line: &'a str, name: &str) -> Option<&'a str> {
    kernel_line.split_ascii_whitespace().rev().find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_option_of_a_name_counts() {
        let line = "quiet vmagent.root=/dev/vdb vmagent.rootfstype=xfs vmagent.root=/dev/vdc\n";
        assert_eq!(option(line, "vmagent.root"), Some("/dev/vdc"));
        assert_eq!(option(line, "vmagent.rootfstype"), Some("xfs"));
        assert_eq!(option(line, "vmagent"), None);
    }
}
