//! The kernel's resource controllers, handed to the cgroups below the top one; and the cgroup of the image to come, which takes
//! long to make and is here already when a clone is told to enter one.

use crate::process::group::IMAGE;
use std::fs;

const TOP: &str = "/sys/fs/cgroup";

/// One by one: a controller that cannot be had must not cost the others.
pub fn delegate() {
    for name in fs::read_to_string(format!("{TOP}/cgroup.controllers")).unwrap_or_default().split_whitespace() {
        let _ = fs::write(format!("{TOP}/cgroup.subtree_control"), format!("+{name}"));
    }
    let _ = fs::create_dir_all(format!("{TOP}/{IMAGE}/init"));
}
