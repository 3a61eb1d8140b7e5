//! The kernel's resource controllers, handed to the cgroups below the top one.

use std::fs;

const TOP: &str = "/sys/fs/cgroup";

/// One by one: a controller that cannot be had must not cost the others.
pub fn delegate() {
    for name in fs::read_to_string(format!("{TOP}/cgroup.controllers")).unwrap_or_default().split_whitespace() {
        let _ = fs::write(format!("{TOP}/cgroup.subtree_control"), format!("+{name}"));
    }
}
