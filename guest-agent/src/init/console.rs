//! Lines for the guest's console, each with the kernel's uptime.

use crate::system;

pub fn say(sentence: &str) {
    let uptime = system::uptime_ms();
    eprintln!("vm-agent: [{}.{:03}] {sentence}", uptime / 1000, uptime % 1000);
}
