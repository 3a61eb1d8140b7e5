//! The end of the guest: file systems made whole, then no power.

use super::console;
use super::mount::SCRATCH;
use crate::agent::{Agent, BASE_ROOT};
use std::ffi::CString;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long programs have between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(10);
/// Writing back what is in memory may take that long before the power goes all the same.
const SYNC_BOUND: Duration = Duration::from_secs(10);

/// Ends every process, writes everything back, and turns the guest off.
pub async fn end_guest(agent: &Agent) {
    // What only holds the image's namespaces would not end by itself.
    let holder = agent.room().filter(|room| room.holds_only).map(|room| room.holder_pid);
    signal_all(libc::SIGTERM);
    let deadline = Instant::now() + GRACE;
    while others_run(holder) && Instant::now() < deadline {
        sleep(POLL).await;
    }
    signal_all(libc::SIGKILL);
    let deadline = Instant::now() + GRACE;
    while others_run(None) && Instant::now() < deadline {
        sleep(POLL).await;
    }
    let syncing = sync_in_a_child();
    let deadline = Instant::now() + SYNC_BOUND;
    while is_alive(syncing) && Instant::now() < deadline {
        sleep(POLL).await;
    }
    if is_alive(syncing) {
        console::say("the disks were not written back in time");
    }
    off();
}

/// Turns the guest off. If the machine has no such switch it is restarted, which QEMU takes as the end with -no-reboot.
pub fn off() {
    console::say("power off");
    // SAFETY: plain system calls.
    unsafe {
        libc::reboot(libc::RB_POWER_OFF);
        libc::reboot(libc::RB_AUTOBOOT);
    }
}

fn signal_all(number: i32) {
    // SAFETY: plain system call; PID 1 itself is not meant by -1.
    unsafe { libc::kill(-1, number) };
}

/// Whether any process but this one and that has memory of its own, which kernel threads do not.
fn others_run(but: Option<i32>) -> bool {
    let Ok(entries) = std::fs::read_dir("/proc") else { return false };
    entries.flatten().any(|entry| {
        let pid = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok());
        pid.is_some_and(|pid| pid != 1 && Some(pid) != but)
            && std::fs::read_to_string(entry.path().join("statm")).is_ok_and(|statm| !statm.starts_with("0 "))
    })
}

/// Syncs where it cannot hold up the agent. The overlay first, which holds the scratch disk; that read-only at the end, so that
/// it is clean.
fn sync_in_a_child() -> i32 {
    let (Ok(base), Ok(scratch)) = (CString::new(BASE_ROOT), CString::new(SCRATCH)) else { return -1 };
    let none = std::ptr::null();
    // SAFETY: one thread, and the child only makes system calls with strings that were made before.
    match unsafe { libc::fork() } {
        0 => {
            // SAFETY: as above.
            unsafe {
                libc::sync();
                libc::umount2(base.as_ptr(), libc::MNT_DETACH);
                libc::mount(none, scratch.as_ptr(), none, libc::MS_REMOUNT | libc::MS_RDONLY, none.cast());
                libc::sync();
                libc::_exit(0)
            }
        }
        pid => pid,
    }
}

fn is_alive(pid: i32) -> bool {
    // SAFETY: plain system call that sends nothing.
    pid > 0 && unsafe { libc::kill(pid, 0) } == 0
}
